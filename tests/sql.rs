//! SQL expectations: the `.slt` files of `tests/sql/`, each against a store made of the samples that its first line names
//! (`# store: good/a.zip good/b.json`). The statements go through the program, one run each.
//!
//! A file is blocks with a blank line between them: `query`, the statement, `----`, and the rows as CSV with their header; lines
//! with `#` are for people. `KEYTRAIL_SLT=complete` writes the rows that the program gives into the files instead of checking
//! them: read the difference before committing it.

use std::path::{Path, PathBuf};

use crate::support::{Bench, sample};

fn store_for(file: &Path, text: &str) -> Bench {
    let samples = text.lines().next().and_then(|line| line.strip_prefix("# store: "));
    let samples = samples.unwrap_or_else(|| panic!("{}: expected a first line `# store: ...`", file.display()));
    let bench = Bench::new();
    let paths: Vec<PathBuf> = samples.split_whitespace().map(sample).collect();
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let (code, _, stderr) = bench.ingest(&paths, &[]);
    assert!(code == 0 || code == 3, "{}: {stderr}", file.display());
    bench
}

/// Answers a block: its text with the rows that the program gives.
fn answered(bench: &Bench, block: &str) -> String {
    let Some(at) = block.find("query\n") else {
        return block.to_owned();
    };
    let (statement, _) = block[at + 6..].split_once("\n----").unwrap_or_else(|| panic!("expected ---- after {block}"));
    let ran = bench.keytrail(&["sql", statement, "--format", "csv"]);
    assert_eq!(ran.code, 0, "{statement}: {}", ran.stderr);
    format!("{}query\n{statement}\n----\n{}", &block[..at], ran.stdout.trim_end())
}

#[test]
fn expectations() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    assert!(files.len() >= 10);
    let complete = std::env::var_os("KEYTRAIL_SLT").is_some_and(|mode| mode == "complete");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let bench = store_for(&file, &text);
        let blocks: Vec<String> =
            text.trim_end().split("\n\n").map(|block| answered(&bench, block.trim_end())).collect();
        let found = blocks.join("\n\n") + "\n";
        if complete {
            std::fs::write(&file, found).unwrap();
        } else {
            assert_eq!(found, text, "{}", file.display());
        }
    }
}
