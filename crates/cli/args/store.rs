//! Arguments of the commands that look at a store as a whole.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use keytrail_store::ExpectedHead;

use super::{OutputArgs, StoreArgs, SummaryFormat, parse_jobs, parse_size};

#[derive(Debug, Args)]
pub(crate) struct ListingArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// List the built-in views, or show the SQL of one.
#[derive(Debug, Args)]
pub(crate) struct ViewsArgs {
    /// View to show.
    pub(crate) name: Option<String>,
}

/// Print the paths of the Parquet files that make up `events` now, a line each.
///
/// For engines that read Parquet but not the Delta log.
#[derive(Debug, Args)]
pub(crate) struct FilesArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Check the store against what was committed.
///
/// Reads the log commit by commit (chain of hashes, digests of file actions), ledgers and rejects, and every data file: hash, rows, statistics
/// against values, rows of each archive against the ledger. With --archives the archives are decoded again, and the store has to hold
/// exactly their records. Names all damage on stderr; exit code 5. What could not be checked is named, too; exit code 6. The head
/// printed stands for the whole history: kept elsewhere, it shows later whether commits were cut off the end.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  keytrail verify --quick --format json\n  keytrail verify --expect-head 5f2c...91@12 --public-key audit.pub\n  keytrail verify --archives /var/archives"
)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Of the data files look only at presence and length.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Files, folders or patterns of the source archives; found by their SHA-256, whatever their names.
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "quick")]
    pub(crate) archives: Vec<PathBuf>,
    /// Head that was noted earlier, of this version or an earlier one; can be given again.
    #[arg(long = "expect-head", value_name = "HEX[@VERSION]", value_parser = parse_head)]
    pub(crate) expect_heads: Vec<ExpectedHead>,
    /// Public key, or its file, whose signature has to be there; can be given again.
    #[arg(long = "public-key", value_name = "KEY")]
    pub(crate) public_keys: Vec<String>,
    /// How the outcome is told: in words, or as one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SummaryFormat,
    /// Threads, 256 at most; where archives are decoded again, as far as --memory has room for them (40M each) [default: one for each core].
    #[arg(long, value_name = "N", value_parser = parse_jobs)]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Memory to plan with where archives are decoded again: bytes, or a number with K, M or G.
    #[arg(long, value_name = "SIZE", default_value = "512M", value_parser = parse_size)]
    pub(crate) memory: u64,
}

/// Print version and head of the store: what to keep elsewhere, for `verify --expect-head`.
///
/// The head is the SHA-256 of the last commit, which holds that of the one before it, and so on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  keytrail head | mail -s \"head of the audit store\" auditors@example.com")]
pub(crate) struct HeadArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// One line (head@version), or one JSON object.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SummaryFormat,
}

/// Sign the head of the store, or a file, in the format of minisign.
///
/// Without FILE the head is signed: a statement and its signature are put into STORE/signatures, and nothing else of the store changes. With
/// FILE that file is signed into FILE.minisig. Keys are those of minisign; the password of an encrypted one comes from
/// --password-file, from KEYTRAIL_PASSWORD or from the terminal. `minisign -V` verifies what was signed, and so does `keytrail verify`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  keytrail sign --generate-key audit          makes audit.key and audit.pub\n  keytrail sign --secret-key audit.key --comment \"January closed\"\n  keytrail sign --secret-key audit.key report.html\n  minisign -Vm report.html -p audit.pub"
)]
pub(crate) struct SignArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// File to sign, such as a report, instead of the store.
    #[arg(value_name = "FILE", conflicts_with = "generate_key")]
    pub(crate) file: Option<PathBuf>,
    /// The same.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "generate_key"])]
    pub(crate) report: Option<PathBuf>,
    /// Secret key to sign with.
    #[arg(long, value_name = "FILE", required_unless_present = "generate_key", conflicts_with = "generate_key")]
    pub(crate) secret_key: Option<PathBuf>,
    /// Words that are signed, too: one line.
    #[arg(long, value_name = "TEXT", conflicts_with = "generate_key")]
    pub(crate) comment: Option<String>,
    /// File that holds the password of the secret key in its first line.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Make a pair of keys, PREFIX.key and PREFIX.pub.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) generate_key: Option<PathBuf>,
    /// Leave the secret key of --generate-key without a password.
    #[arg(long, requires = "generate_key", conflicts_with = "password_file")]
    pub(crate) no_password: bool,
}

/// Reads `<64 hex digits>` or `<64 hex digits>@<version>`.
fn parse_head(text: &str) -> Result<ExpectedHead, String> {
    let wrong = || "expected 64 hex digits, or these with @VERSION behind them, as `keytrail head` prints".to_owned();
    let (head, version) = match text.split_once('@') {
        Some((head, version)) => (head, Some(version.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let is_hash = head.len() == 64 && head.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hash.then(|| ExpectedHead { head: head.to_ascii_lowercase(), version }).ok_or_else(wrong)
}
