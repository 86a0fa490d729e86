//! The words of the log: actions, statuses and roles that the generator writes, and what it means by them.
//!
//! The meaning given here is the truth that the answers are counted from. It is kept apart from the engine's catalogues on
//! purpose.

macro_rules! codes {
    ($(#[$note:meta])* $type:ident { $($variant:ident => $name:literal,)+ }) => {
        $(#[$note])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum $type { $($variant,)+ }

        impl $type {
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

codes! {
    /// What was done.
    Action {
        Login => "LUNA_LOGIN",
        InitPin => "LUNA_INIT_PIN",
        SetPin => "LUNA_SET_PIN",
        PartitionInit => "LUNA_PARTITION_INIT",
        PartitionZeroize => "LUNA_PARTITION_ZEROIZE",
        GenerateKey => "LUNA_GENERATE_KEY",
        GenerateKeyPair => "LUNA_GENERATE_KEY_PAIR",
        CreateObject => "LUNA_CREATE_OBJECT",
        CopyObject => "LUNA_COPY_OBJECT",
        UnwrapKey => "LUNA_UNWRAP_KEY",
        DeriveKey => "LUNA_DERIVE_KEY",
        DeriveKeyAndWrap => "LUNA_DERIVE_KEY_AND_WRAP",
        WrapKey => "LUNA_WRAP_KEY",
        CloneAsSource => "LUNA_CLONE_AS_SOURCE",
        CloneAsTargetInit => "LUNA_CLONE_AS_TARGET_INIT",
        CloneAsTarget => "LUNA_CLONE_AS_TARGET",
        CloneConfigurePolicy => "LUNA_CLONE_CONFIGURE_POLICY",
        CloneGetPolicy => "LUNA_CLONE_GET_POLICY",
        ReplicateAsSource => "LUNA_REPLICATE_AS_SOURCE",
        ReplicateAsTargetInit => "LUNA_REPLICATE_AS_TARGET_INIT",
        ReplicateAsTarget => "LUNA_REPLICATE_AS_TARGET",
        ModifyObject => "LUNA_MODIFY_OBJECT",
        DestroyObject => "LUNA_DESTROY_OBJECT",
        GenerateDomainParam => "LUNA_GENERATE_DOMAIN_PARAM",
        GenKcv => "LUNA_GEN_KCV",
        SignInit => "LUNA_SIGN_INIT",
        Sign => "LUNA_SIGN",
        SignEnd => "LUNA_SIGN_END",
        SignSinglepart => "LUNA_SIGN_SINGLEPART",
        VerifyInit => "LUNA_VERIFY_INIT",
        Verify => "LUNA_VERIFY",
        VerifyEnd => "LUNA_VERIFY_END",
        VerifySinglepart => "LUNA_VERIFY_SINGLEPART",
        EncryptInit => "LUNA_ENCRYPT_INIT",
        Encrypt => "LUNA_ENCRYPT",
        EncryptEnd => "LUNA_ENCRYPT_END",
        EncryptSinglepart => "LUNA_ENCRYPT_SINGLEPART",
        DecryptInit => "LUNA_DECRYPT_INIT",
        Decrypt => "LUNA_DECRYPT",
        DecryptEnd => "LUNA_DECRYPT_END",
        DecryptSinglepart => "LUNA_DECRYPT_SINGLEPART",
        DigestInit => "LUNA_DIGEST_INIT",
        Digest => "LUNA_DIGEST",
        DigestEnd => "LUNA_DIGEST_END",
        DigestKey => "LUNA_DIGEST_KEY",
        DigestKeyValue => "LUNA_DIGEST_KEY_VALUE",
        CancelCryptoOperation => "LUNA_CANCEL_CRYPTO_OPERATION",
        // Not in any list that is known.
        KeyAttest => "LUNA_KEY_ATTEST",
    }
}

impl Action {
    /// A whole cryptographic operation, or the end of one: counts as a use where it succeeds.
    pub(crate) fn completes_use(self) -> bool {
        matches!(
            self,
            Self::SignEnd
                | Self::SignSinglepart
                | Self::VerifyEnd
                | Self::VerifySinglepart
                | Self::EncryptEnd
                | Self::EncryptSinglepart
                | Self::DecryptEnd
                | Self::DecryptSinglepart
        )
    }
}

codes! {
    /// How it ended.
    Status {
        Ok => "LUNA_RET_OK",
        PinIncorrect => "LUNA_RET_UM_PIN_INCORRECT",
        PinIncorrectLocked => "LUNA_RET_UM_PIN_INCORRECT_CONTAINER_LOCKED",
        PinIncorrectZeroized => "LUNA_RET_UM_PIN_INCORRECT_CONTAINER_ZEROIZED",
        SoLoginFailureThreshold => "LUNA_RET_SO_LOGIN_FAILURE_THRESHOLD",
        ChallengeIncorrect => "LUNA_RET_CHALLENGE_RESPONSE_INCORRECT",
        Challenge410Incorrect => "LUNA_RET_410_CHALLENGE_RESPONSE_INCORRECT",
        ContainerLocked => "LUNA_RET_CONTAINER_LOCKED",
        ContainerDisabled => "LUNA_RET_CONTAINER_IS_DISABLED",
        PinExpired => "LUNA_RET_SM_PIN_EXPIRED",
        PinNotInitialized => "LUNA_RET_USER_PIN_NOT_INITIALIZED",
        NotLoggedIn => "LUNA_RET_USER_NOT_LOGGED_IN",
        AlreadyLoggedIn => "LUNA_RET_USER_ALREADY_LOGGED_IN",
        PinLenRange => "LUNA_RET_UM_PIN_LEN_RANGE",
        OperationRestricted => "LUNA_RET_OPERATION_RESTRICTED",
        InvalidAccessLevel => "LUNA_RET_INVALID_ACCESS_LEVEL",
        KeyUnextractable => "LUNA_RET_KEY_UNEXTRACTABLE",
        KeyNotWrappable => "LUNA_RET_KEY_NOT_WRAPPABLE",
        KeyInvalidForOperation => "LUNA_RET_KEY_INVALID_FOR_OPERATION",
        AttributeReadOnly => "LUNA_RET_ATTRIBUTE_READ_ONLY",
        KeyHandleInvalid => "LUNA_RET_KEY_HANDLE_INVALID",
        ObjectHandleInvalid => "LUNA_RET_OBJECT_HANDLE_INVALID",
        SessionHandleInvalid => "LUNA_RET_SM_SESSION_HANDLE_INVALID",
        OperationNotInitialized => "LUNA_RET_OPERATION_NOT_INITIALIZED",
        FunctionCanceled => "LUNA_RET_FUNCTION_CANCELED",
        BufferTooSmall => "LUNA_RET_BUFFER_TOO_SMALL",
        DataLenRange => "LUNA_RET_DATA_LEN_RANGE",
        EncryptedDataInvalid => "LUNA_RET_ENCRYPTED_DATA_INVALID",
        MechanismInvalid => "LUNA_RET_MECHANISM_INVALID",
        SignatureInvalid => "LUNA_RET_SIGNATURE_INVALID",
        WrappedKeyInvalid => "LUNA_RET_WRAPPED_KEY_INVALID",
        MaxObjectCount => "LUNA_RET_MAX_OBJECT_COUNT",
        DeviceError => "LUNA_RET_DEVICE_ERROR",
        Timeout => "LUNA_RET_TIMEOUT",
        // Not in any list that is known.
        QuorumPending => "LUNA_RET_CR_QUORUM_PENDING",
    }
}

impl Status {
    /// At a login: a wrong credential, or a refusal because of a lock.
    pub(crate) fn fails_login(self) -> bool {
        self.locks()
            || matches!(
                self,
                Self::PinIncorrect
                    | Self::PinIncorrectZeroized
                    | Self::ChallengeIncorrect
                    | Self::Challenge410Incorrect
            )
    }

    /// A lock is set, or was there already.
    pub(crate) fn locks(self) -> bool {
        matches!(
            self,
            Self::PinIncorrectLocked | Self::SoLoginFailureThreshold | Self::ContainerLocked | Self::ContainerDisabled
        )
    }

    /// The contents of the partition are gone.
    pub(crate) fn wipes(self) -> bool {
        matches!(self, Self::PinIncorrectZeroized | Self::SoLoginFailureThreshold)
    }
}

codes! {
    /// As whom; letter case is not always the same.
    Role {
        Po => "PO",
        Co => "CO",
        Cu => "CU",
        Public => "public",
        CuSmall => "cu",
        CoSmall => "co",
        // Newer firmware knows a limited crypto officer.
        Lco => "LCO",
    }
}

codes! {
    /// What was done in CipherTrust.
    CipherAction {
        CreateKey => "Create Key",
        DeleteKeyVersion => "Delete Key Version",
        Login => "Login",
        RegisterKmipClient => "RegisterKmipClient",
        GetKey => "Get Key",
        Encrypt => "Encrypt",
    }
}

codes! {
    /// How it ended in CipherTrust.
    CipherStatus {
        Success => "success",
        Failure => "failure",
    }
}

/// Operations that come in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Sign,
    Verify,
    Encrypt,
    Decrypt,
    Digest,
}

impl Operation {
    pub(crate) fn init(self) -> Action {
        match self {
            Self::Sign => Action::SignInit,
            Self::Verify => Action::VerifyInit,
            Self::Encrypt => Action::EncryptInit,
            Self::Decrypt => Action::DecryptInit,
            Self::Digest => Action::DigestInit,
        }
    }

    pub(crate) fn data(self) -> Action {
        match self {
            Self::Sign => Action::Sign,
            Self::Verify => Action::Verify,
            Self::Encrypt => Action::Encrypt,
            Self::Decrypt => Action::Decrypt,
            Self::Digest => Action::Digest,
        }
    }

    pub(crate) fn end(self) -> Action {
        match self {
            Self::Sign => Action::SignEnd,
            Self::Verify => Action::VerifyEnd,
            Self::Encrypt => Action::EncryptEnd,
            Self::Decrypt => Action::DecryptEnd,
            Self::Digest => Action::DigestEnd,
        }
    }

    /// The whole operation in one call; a digest has none.
    pub(crate) fn whole(self) -> Option<Action> {
        match self {
            Self::Sign => Some(Action::SignSinglepart),
            Self::Verify => Some(Action::VerifySinglepart),
            Self::Encrypt => Some(Action::EncryptSinglepart),
            Self::Decrypt => Some(Action::DecryptSinglepart),
            Self::Digest => None,
        }
    }
}
