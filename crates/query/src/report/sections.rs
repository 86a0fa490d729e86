//! The sections of the monthly report: their order, their words, and which table stands where.

use super::model::{Section, Table};

/// The tables of a month.
pub(super) struct Tables {
    pub(super) conservation: Table,
    pub(super) forgotten: Table,
    pub(super) archives: Table,
    pub(super) failed_archives: Table,
    pub(super) sources: Table,
    pub(super) coverage: Table,
    pub(super) coverage_gaps: Table,
    pub(super) gaps: Table,
    pub(super) partitions: Table,
    pub(super) key_usage: Table,
    pub(super) key_lifecycle_counts: Table,
    pub(super) key_lifecycle: Table,
    pub(super) login_failures: Table,
    pub(super) zeroize_events: Table,
    pub(super) privileged_use: Table,
    pub(super) failed_operations: Table,
    pub(super) custody: Table,
    pub(super) signatures: Table,
    pub(super) oddities: Table,
}

/// The sections in the order in which they are shown.
pub(super) fn of(tables: Tables) -> Vec<Section> {
    let section = |key, title, text, tables| Section { key, title, text, tables };
    vec![
        section(
            "completeness",
            "Completeness",
            "What this report rests on. The span of an archive is the window it was asked for, where a side file with the request was kept \
             beside it; else the time from its first to its last record, because an export itself does not say its window. A day without \
             records is a quiet day where such a window covers it; where none does (unexplained), it may as well be a missing export. \
             Partial are archives that were narrowed by filters, came from a job that did not succeed, or are damaged.",
            vec![
                tables.conservation,
                tables.forgotten,
                tables.sources,
                tables.archives,
                tables.failed_archives,
                tables.coverage,
                tables.coverage_gaps,
                tables.gaps,
                tables.partitions,
            ],
        ),
        section(
            "key_usage",
            "Key usage",
            "One row per key (OUID in lower case). Operations are all records that name the key. Uses are finished operations only: \
             successful single-part and end records of sign, verify, encrypt and decrypt. Failed are records with any status but success.",
            vec![tables.key_usage],
        ),
        section(
            "key_lifecycle",
            "Key lifecycle",
            "Keys made, imported, derived, exported, cloned, replicated, modified and destroyed. Where a record names several keys, each \
             has a row. Keys that went with a wiped partition are not listed one by one.",
            vec![tables.key_lifecycle_counts, tables.key_lifecycle],
        ),
        section(
            "login_failures",
            "Login failures",
            "Logins refused for a wrong credential or because a role is locked. Logins that failed for another reason, such as an expired \
             credential, count as attempts only.",
            vec![tables.login_failures],
        ),
        section(
            "zeroisation",
            "Zeroisation",
            "Records after which all keys of a partition are gone (zeroize, reinitialised, wiped_by_login_failures), and attempts that \
             failed (zeroize_attempt). Whether a partition had been in use before it was initialised is judged from the whole store, without \
             what was removed from it.",
            vec![tables.zeroize_events],
        ),
        section(
            "privileged_use",
            "Privileged use",
            "All operations of the partition security officer (role PO), whatever their outcome.",
            vec![tables.privileged_use],
        ),
        section(
            "failed_operations",
            "Failed operations",
            "Records with any status but success, with the class of the status. Some classes are results rather than faults: \
             verify_negative is a signature that does not fit. Classes come from a table that can be overridden.",
            vec![tables.failed_operations],
        ),
        section(
            "custody",
            "Custody",
            "The archives behind the figures, by the SHA-256 of their bytes. The same hash in hand means the same bytes. The state of the \
             store named at the head of this report stands for its whole history: every commit holds the hash of the one before it. \
             Signatures that lie in the store are named, not checked: keytrail verify --public-key does that.",
            vec![tables.custody, tables.signatures, tables.oddities],
        ),
    ]
}

/// What the log cannot show. A report says it instead of guessing.
pub(super) const LIMITS: &[&str] = &[
    "Persons: an actor is an installed client configuration, an address may be that of a proxy, and no user name is logged.",
    "Contents: what was signed or encrypted, by which mechanism and how much of it.",
    "Properties of keys: label, type, size, expiry and permitted uses. Keys are known by OUID only.",
    "The inventory of keys: only keys that some record names are seen. A key that nobody touched does not appear.",
    "Which of two keys a record names, where an operation involves two (copy, unwrap, derive, key pairs): the service does not say.",
    "Sessions: no logout is logged, so nothing tells how long a login lasted.",
    "Reads of attributes, searches for objects, and changes of policy other than those for cloning.",
    "Which attribute of an object a modification changed.",
    "Order within a second: records may carry whole seconds, and the service writes them once a second.",
    "Clients before version 10.2: they leave no records.",
    "Anything before the oldest archive or between archives: the service keeps records for twelve months and then drops them for good.",
    "That exports are complete: they carry no sequence number and no signature, and an export may be narrowed by filters or by the \
     permissions of who asked for it, without a trace in the file.",
    "The meaning of a status beyond success: the service publishes no list, classes rest on an older public header of the firmware.",
];
