//! What a client does between a login and the moment it falls silent: uses of keys, key management, administration.

use crate::codes::{Action, Operation, Role, Status};
use crate::dice::Dice;
use crate::record::{Deed, Target};
use crate::world::{Actor, Address, Key, Partition, World};

/// Chance of an ordinary failure, in parts of a million.
const FAILURE: u32 = 9_000;
/// Chance of a status that no list names.
const UNKNOWN_STATUS: u32 = 40;

/// One client at work in one partition.
#[derive(Debug)]
pub(crate) struct Session<'w> {
    actor: &'w Actor,
    address: &'w Address,
    partition: &'w Partition,
    module: &'w str,
    role: Role,
    wrong_credentials: u32,
    logged_in: bool,
    deeds_left: u64,
    running: Option<Running<'w>>,
}

/// A multi-part operation that has not ended.
#[derive(Debug, Clone, Copy)]
struct Running<'w> {
    operation: Operation,
    key: Option<&'w Key>,
    parts_left: u64,
}

impl<'w> Session<'w> {
    pub(crate) fn start(world: &'w World, time: i64, dice: &mut Dice) -> Self {
        let actor = world.any_actor(dice);
        let partition = world.partition_of(actor, time, dice);
        let role = dice.weighted(
            &[
                (Role::Cu, 885),
                (Role::Co, 95),
                (Role::CuSmall, 8),
                (Role::CoSmall, 4),
                (Role::Po, 3),
                (Role::Public, 3),
                (Role::Lco, 2),
            ],
            Role::Cu,
        );
        let wrong_credentials = if dice.chance(actor.wrong_credential) { dice.between(1, 3) as u32 } else { 0 };
        let deeds_left = match role {
            Role::Cu | Role::CuSmall => dice.between(4, 60),
            Role::Co | Role::CoSmall | Role::Lco => dice.between(1, 12),
            Role::Po | Role::Public => dice.between(1, 3),
        };
        let [usual, other] = &partition.modules;
        let module = if dice.chance(300_000) { other } else { usual };
        Self {
            actor,
            address: world.address_of(actor, dice),
            partition,
            module,
            role,
            wrong_credentials,
            logged_in: role == Role::Public,
            deeds_left,
            running: None,
        }
    }

    /// A client met in the middle of its work.
    pub(crate) fn underway(world: &'w World, time: i64, dice: &mut Dice) -> Self {
        let session = Self::start(world, time, dice);
        Self { logged_in: true, deeds_left: dice.between(1, session.deeds_left), ..session }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.deeds_left == 0 && self.running.is_none()
    }

    pub(crate) fn next(&mut self, world: &'w World, time: i64, dice: &mut Dice) -> Deed<'w> {
        let (action, status, target) = if !self.logged_in {
            self.log_in(dice)
        } else if let Some(running) = self.running {
            self.go_on(running, dice)
        } else {
            self.deeds_left = self.deeds_left.saturating_sub(1);
            match self.role {
                Role::Cu | Role::CuSmall => self.use_key(world, time, dice),
                Role::Co | Role::CoSmall | Role::Lco if dice.chance(400_000) => self.use_key(world, time, dice),
                Role::Co | Role::CoSmall | Role::Lco => self.manage(world, time, dice),
                Role::Po => administer(dice),
                Role::Public => {
                    (Action::CloneGetPolicy, dice.one(&[Status::Ok, Status::NotLoggedIn], Status::Ok), nothing(dice))
                }
            }
        };
        let status = if dice.chance(UNKNOWN_STATUS) { Status::QuorumPending } else { status };
        Deed {
            actor: self.actor,
            address: if dice.chance(250) { None } else { Some(self.address) },
            partition: self.partition,
            module: self.module,
            role: self.role,
            action,
            status,
            target,
        }
    }

    fn log_in(&mut self, dice: &mut Dice) -> (Action, Status, Target<'w>) {
        let status = if self.wrong_credentials > 0 {
            self.wrong_credentials -= 1;
            dice.weighted(
                &[(Status::PinIncorrect, 90), (Status::ChallengeIncorrect, 5), (Status::Challenge410Incorrect, 5)],
                Status::PinIncorrect,
            )
        } else if dice.chance(4_000) {
            // Refused for a reason that says nothing about the credential; the client gives up.
            self.deeds_left = 0;
            let reasons = [
                Status::PinExpired,
                Status::PinNotInitialized,
                Status::AlreadyLoggedIn,
                Status::PinLenRange,
                Status::DeviceError,
                Status::Timeout,
            ];
            dice.one(&reasons, Status::Timeout)
        } else {
            self.logged_in = true;
            Status::Ok
        };
        (Action::Login, status, nothing(dice))
    }

    fn go_on(&mut self, running: Running<'w>, dice: &mut Dice) -> (Action, Status, Target<'w>) {
        let named = if dice.chance(750_000) { named(running.key, dice) } else { nothing(dice) };
        if dice.chance(4_000) {
            self.running = None;
            return (Action::CancelCryptoOperation, Status::Ok, named);
        }
        if running.parts_left > 0 {
            self.running = Some(Running { parts_left: running.parts_left - 1, ..running });
            return (running.operation.data(), Status::Ok, named);
        }
        self.running = None;
        (running.operation.end(), outcome(running.operation, dice), named)
    }

    fn use_key(&mut self, world: &'w World, time: i64, dice: &mut Dice) -> (Action, Status, Target<'w>) {
        let key = world.key_of(self.partition, time, dice);
        let rare = dice.below(10_000);
        if rare < 120 {
            let action = match rare {
                0..10 => Action::KeyAttest,
                10..80 => Action::DigestKey,
                _ => Action::DigestKeyValue,
            };
            return (action, Status::Ok, named(key, dice));
        }
        let operation = dice.weighted(
            &[
                (Operation::Sign, 45),
                (Operation::Encrypt, 20),
                (Operation::Decrypt, 18),
                (Operation::Verify, 10),
                (Operation::Digest, 7),
            ],
            Operation::Sign,
        );
        let status = outcome(operation, dice);
        if let Some(whole) = operation.whole()
            && dice.chance(700_000)
        {
            return (whole, status, named(key, dice));
        }
        let key = if operation == Operation::Digest { None } else { key };
        let status = if status == Status::SignatureInvalid { Status::Ok } else { status };
        if status == Status::Ok {
            self.running = Some(Running { operation, key, parts_left: dice.below(4) });
        }
        (operation.init(), status, named(key, dice))
    }

    fn manage(&mut self, world: &'w World, time: i64, dice: &mut Dice) -> (Action, Status, Target<'w>) {
        let action = dice.weighted(&MANAGEMENT, Action::ModifyObject);
        let passing = matches!(
            action,
            Action::GenerateKey | Action::GenerateKeyPair | Action::CreateObject | Action::DestroyObject
        );
        let key = if passing {
            world.rare_key_of(self.partition, time, dice)
        } else {
            world.key_of(self.partition, time, dice)
        };
        let names_none = matches!(
            action,
            Action::CloneAsTargetInit | Action::ReplicateAsTargetInit | Action::SetPin | Action::CloneGetPolicy
        );
        let target = if names_none { nothing(dice) } else { named(key, dice) };
        let status = if dice.chance(FAILURE * 3) { refusal(action, dice) } else { Status::Ok };
        (action, status, target)
    }
}

const MANAGEMENT: [(Action, u32); 20] = [
    (Action::GenerateKey, 120),
    (Action::GenerateKeyPair, 140),
    (Action::CreateObject, 60),
    (Action::CopyObject, 40),
    (Action::UnwrapKey, 90),
    (Action::DeriveKey, 80),
    (Action::DeriveKeyAndWrap, 10),
    (Action::WrapKey, 80),
    (Action::CloneAsSource, 30),
    (Action::CloneAsTargetInit, 20),
    (Action::CloneAsTarget, 20),
    (Action::ReplicateAsSource, 30),
    (Action::ReplicateAsTargetInit, 30),
    (Action::ReplicateAsTarget, 30),
    (Action::ModifyObject, 90),
    (Action::DestroyObject, 100),
    (Action::GenerateDomainParam, 3),
    (Action::GenKcv, 15),
    (Action::SetPin, 6),
    (Action::CloneGetPolicy, 10),
];

/// What a security officer does on an ordinary day; destructions are planned elsewhere.
fn administer<'w>(dice: &mut Dice) -> (Action, Status, Target<'w>) {
    let actions = [Action::InitPin, Action::SetPin, Action::CloneGetPolicy, Action::CloneConfigurePolicy];
    let action = dice.one(&actions, Action::CloneGetPolicy);
    let status = if dice.chance(50_000) { Status::InvalidAccessLevel } else { Status::Ok };
    (action, status, nothing(dice))
}

fn outcome(operation: Operation, dice: &mut Dice) -> Status {
    if !dice.chance(FAILURE) {
        return Status::Ok;
    }
    let own = match operation {
        Operation::Sign => Status::KeyInvalidForOperation,
        Operation::Verify => Status::SignatureInvalid,
        Operation::Encrypt | Operation::Digest => Status::DataLenRange,
        Operation::Decrypt => Status::EncryptedDataInvalid,
    };
    dice.weighted(
        &[
            (own, 50),
            (Status::BufferTooSmall, 20),
            (Status::KeyHandleInvalid, 15),
            (Status::MechanismInvalid, 10),
            (Status::SessionHandleInvalid, 10),
            (Status::OperationNotInitialized, 5),
            (Status::FunctionCanceled, 3),
            (Status::NotLoggedIn, 3),
            (Status::DeviceError, 2),
        ],
        own,
    )
}

fn refusal(action: Action, dice: &mut Dice) -> Status {
    let own = match action {
        Action::WrapKey | Action::DeriveKeyAndWrap => {
            dice.one(&[Status::KeyUnextractable, Status::KeyNotWrappable], Status::KeyUnextractable)
        }
        Action::UnwrapKey | Action::CloneAsTarget => Status::WrappedKeyInvalid,
        Action::ModifyObject => Status::AttributeReadOnly,
        Action::GenerateKey | Action::GenerateKeyPair | Action::CreateObject => Status::MaxObjectCount,
        _ => Status::ObjectHandleInvalid,
    };
    dice.weighted(&[(own, 7), (Status::NotLoggedIn, 2), (Status::OperationRestricted, 1)], own)
}

/// A key where there is one; its letters are in upper case now and then.
fn named<'w>(key: Option<&'w Key>, dice: &mut Dice) -> Target<'w> {
    match key {
        Some(key) => Target::Key { key, upper: dice.chance(8_000) },
        None => nothing(dice),
    }
}

/// The three ways of naming no object.
fn nothing<'w>(dice: &mut Dice) -> Target<'w> {
    dice.weighted(&[(Target::Absent, 90), (Target::Null, 5), (Target::Empty, 5)], Target::Absent)
}
