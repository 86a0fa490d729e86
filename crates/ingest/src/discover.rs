//! Which files a run looks at: files, folders (with all below them) and patterns, in a fixed order.
//!
//! What a file is gets decided by its content, later. Here only what is certainly no archive is passed over: inside folders hidden files,
//! `__MACOSX` and the store itself; and everywhere the side file `X.request.json` of an archive `X`, also where `X` has gone and the file
//! holds a request. Any other file that is named on the command line is looked at.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::error::IngestError;
use crate::request::{archive_of, holds_request};

/// What was found under the paths of a run.
#[derive(Debug, Default)]
pub struct Discovered {
    /// Files, each once, sorted by path.
    pub files: Vec<FoundFile>,
    /// What could not be looked at (dangling links in folders, loops, what is in forbidden folders), with the reason.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Side files that the user may have taken for archives, or whose archive is not there, with what to say.
    pub side_files: Vec<(PathBuf, String)>,
}

/// A file that may be an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Where it is, as it was named or found.
    pub path: PathBuf,
    /// Whether a side file lies beside it, where the folder was looked through.
    pub(crate) has_side_file: Option<bool>,
}

/// How a file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Named itself.
    Named,
    /// By a pattern.
    Matched,
    /// In a folder, all of whose files are looked at; a link or not.
    Walked { is_link: bool },
}

/// Lists the files under the given paths.
///
/// # Errors
/// A path is missing, or a pattern cannot be read or matches nothing, or there is no file at all.
pub fn discover(paths: &[PathBuf], store: &Path) -> Result<Discovered, IngestError> {
    let mut found = Finder::new(store);
    for path in paths {
        for root in found.expand(path)? {
            if root.is_dir() {
                found.walk(&root);
            } else {
                let way = if root == *path { Way::Named } else { Way::Matched };
                found.add(root, way);
            }
        }
    }
    found.finish(paths)
}

/// What was found so far.
struct Finder {
    /// Where the store really is.
    store: Option<PathBuf>,
    files: Vec<(PathBuf, Way)>,
    /// Where these really are: the same file under two spellings counts once, and the first spelling is kept.
    seen: HashSet<OsString>,
    folder: Folder,
    unreadable: Vec<(PathBuf, String)>,
    side_files: BTreeMap<PathBuf, String>,
    /// Archives that have a side file, as far as it was found in a folder.
    with_side_file: HashSet<PathBuf>,
}

impl Finder {
    fn new(store: &Path) -> Self {
        Self {
            store: store.canonicalize().ok(),
            files: Vec::new(),
            seen: HashSet::new(),
            folder: Folder::default(),
            unreadable: Vec::new(),
            side_files: BTreeMap::new(),
            with_side_file: HashSet::new(),
        }
    }

    /// The files and folders that a path stands for. What the system does not let us look at is no reason to leave the rest.
    fn expand(&mut self, path: &Path) -> Result<Vec<PathBuf>, IngestError> {
        let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']));
        match (path.try_exists(), pattern) {
            (Ok(true), _) => return Ok(vec![path.to_path_buf()]),
            (Err(error), None) => {
                self.unreadable.push((path.to_path_buf(), format!("cannot be looked at: {error}")));
                return Ok(Vec::new());
            }
            _ => {}
        }
        let not_found = || IngestError::NotFound { path: path.to_path_buf() };
        let pattern = pattern.ok_or_else(not_found)?;
        let bad =
            |error: glob::PatternError| IngestError::Pattern { pattern: pattern.into(), message: error.to_string() };
        // What ends in `**` is all that is below.
        let (pattern, is_folder) = pattern.strip_suffix("/**").map_or((pattern, false), |folder| (folder, true));
        let meant = glob::Pattern::new(pattern).map_err(bad)?;
        let (mut matches, before) = (odd_names(&meant), self.unreadable.len());
        for entry in glob::glob(pattern).map_err(bad)? {
            match entry {
                Ok(found) if is_folder && !found.is_dir() => {}
                Ok(found) if is_passed_over(&found, &meant) => {}
                Ok(found) => matches.push(found),
                Err(error) => {
                    let words = format!("cannot be looked at: {}", error.error());
                    self.unreadable.push((error.path().to_path_buf(), words));
                }
            }
        }
        if matches.is_empty() && self.unreadable.len() == before { Err(not_found()) } else { Ok(matches) }
    }

    fn walk(&mut self, root: &Path) {
        let store = self.store.clone();
        // Entries of one folder differ in their names only, so whole paths can be compared by their bytes: to find a name takes longer.
        let by_name = |one: &DirEntry, other: &DirEntry| one.path().as_os_str().cmp(other.path().as_os_str());
        let entries = WalkDir::new(root).follow_links(true).sort_by(by_name).into_iter();
        for entry in entries.filter_entry(|entry| is_wanted(entry, store.as_deref())) {
            match entry {
                Ok(entry) if entry.file_type().is_file() => {
                    let is_link = entry.path_is_symlink();
                    self.add(entry.into_path(), Way::Walked { is_link });
                }
                Ok(_) => {}
                Err(error) => {
                    self.unreadable.push((error.path().unwrap_or(root).to_path_buf(), error.to_string()));
                }
            }
        }
    }

    fn add(&mut self, path: PathBuf, way: Way) {
        if let Some(archive) = archive_of(&path)
            && let Some(words) = of_side_file(&path, &archive, way == Way::Named)
        {
            self.side_files.extend(words.map(|words| (path, words)));
            self.with_side_file.insert(archive);
            return;
        }
        let store = self.store.as_deref();
        let place = self.folder.place_of(&path, way, store);
        let (place, in_store) = place.unwrap_or_else(|_| (path.clone(), is_within(&path, store)));
        if !in_store && self.seen.insert(place.into_os_string()) {
            self.files.push((path, way));
        }
    }

    fn finish(self, paths: &[PathBuf]) -> Result<Discovered, IngestError> {
        let Self { files, unreadable, side_files, with_side_file, .. } = self;
        if files.is_empty() && unreadable.is_empty() {
            let mut paths = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
            if !side_files.is_empty() {
                paths.push_str(" (a side file with a request is no archive; name the archive)");
            }
            return Err(IngestError::NothingFound { paths });
        }
        let files = files.into_iter().map(|(path, way)| {
            let is_known = matches!(way, Way::Walked { .. });
            let has_side_file = is_known.then(|| !with_side_file.is_empty() && with_side_file.contains(&path));
            FoundFile { path, has_side_file }
        });
        let mut files: Vec<FoundFile> = files.collect();
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Discovered { files, unreadable, side_files: side_files.into_iter().collect() })
    }
}

/// How shells match: names that begin with a point are meant only where the pattern says so.
const AS_SHELLS_DO: glob::MatchOptions =
    glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Whether a match is hidden, or leads to the resource forks of a Mac, and the pattern does not say so. (The library's own option for hidden
/// names panics at names that are no UTF-8, and finds none where the pattern says so.)
fn is_passed_over(found: &Path, meant: &glob::Pattern) -> bool {
    let text = found.to_string_lossy();
    let with_hidden = glob::MatchOptions { require_literal_leading_dot: false, ..AS_SHELLS_DO };
    let is_hidden = meant.matches_with(&text, with_hidden) && !meant.matches_with(&text, AS_SHELLS_DO);
    let is_of_mac = |path: &Path| path.components().any(|part| part.as_os_str() == "__MACOSX");
    is_hidden || is_of_mac(found) && !is_of_mac(Path::new(meant.as_str()))
}

/// What a pattern stands for of which a name is no UTF-8: the library that reads patterns passes that over in silence. A character that is
/// none is matched by `?`.
fn odd_names(meant: &glob::Pattern) -> Vec<PathBuf> {
    let names: Vec<&str> = meant.as_str().split('/').collect();
    let literal = names.iter().take_while(|name| !name.contains(['*', '?', '['])).count();
    let depth = if names.contains(&"**") { usize::MAX } else { names.len() - literal };
    let root = names.get(..literal).unwrap_or_default().join("/");
    let root = if literal == 0 { Path::new(".") } else { Path::new(if root.is_empty() { "/" } else { root.as_str() }) };
    let found = WalkDir::new(root).min_depth(1).max_depth(depth).follow_links(depth < usize::MAX).sort_by_file_name();
    let odd = found.into_iter().filter_map(Result::ok).map(|entry| match entry.path().strip_prefix(".") {
        Ok(path) if literal == 0 => path.to_path_buf(),
        _ => entry.into_path(),
    });
    odd.filter(|path| path.to_str().is_none() && meant.matches_with(&path.to_string_lossy(), AS_SHELLS_DO)).collect()
}

/// Where the files of a folder really are. Asking the system costs a call for each folder above a file: so it is asked once for all files
/// of a folder.
#[derive(Default)]
struct Folder {
    /// The folder of the file before, as it was spelt.
    spelling: PathBuf,
    /// The same as it really is; empty where there was none.
    place: PathBuf,
    in_store: bool,
}

impl Folder {
    /// Where a file really is, and whether that is in the store.
    fn place_of(&mut self, path: &Path, way: Way, store: Option<&Path>) -> io::Result<(PathBuf, bool)> {
        let is_link = match way {
            Way::Walked { is_link } => is_link,
            Way::Named | Way::Matched => path.symlink_metadata()?.is_symlink(),
        };
        let (Some(folder), Some(name), false) = (path.parent(), path.file_name(), is_link) else {
            let place = path.canonicalize()?;
            let in_store = is_within(&place, store);
            return Ok((place, in_store));
        };
        // Compared by their bytes: what is spelt in another way is asked for again, no more.
        if self.place.as_os_str().is_empty() || self.spelling.as_os_str() != folder.as_os_str() {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            self.place = here.canonicalize()?;
            self.in_store = is_within(&self.place, store);
            self.spelling = folder.to_owned();
        }
        Ok((self.place.join(name), self.in_store))
    }
}

fn is_within(place: &Path, store: Option<&Path>) -> bool {
    store.is_some_and(|store| place.starts_with(store))
}

fn is_wanted(entry: &DirEntry, store: Option<&Path>) -> bool {
    let name = entry.file_name().to_string_lossy();
    let is_store = || entry.file_type().is_dir() && entry.path().canonicalize().ok().as_deref() == store;
    // What the user named is looked at whatever its name, but never the store.
    let is_named = entry.depth() == 0;
    (is_named || !name.starts_with('.') && name != "__MACOSX") && (store.is_none() || !is_store())
}

/// Whether a file that is named like a side file is one, and no archive: `Some`, with what to say about it if anything.
fn of_side_file(path: &Path, archive: &Path, is_named: bool) -> Option<Option<String>> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    if archive.is_file() {
        return Some(is_named.then(|| format!("the side file with the request of {name}, no archive")));
    }
    holds_request(path)
        .then(|| Some(format!("a side file with a request; expected its archive {name} beside it, found none")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        root
    }

    fn names(root: &Path, paths: &[&str]) -> Vec<String> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).collect();
        let found = discover(&paths, &root.join("store")).unwrap().files;
        found.iter().map(|file| file.path.strip_prefix(root).unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn folders_files_and_patterns() {
        let root = tree(&[
            "a/2.zip",
            "a/1.zip",
            "a/b/3.gz",
            "a/.hidden",
            "a/__MACOSX/x",
            "a/1.zip.request.json",
            "a/x.request.json",
            "store/events/f.parquet",
            "c d.json",
        ]);
        let root = root.path();
        assert_eq!(names(root, &["a"]), ["a/1.zip", "a/2.zip", "a/b/3.gz", "a/x.request.json"]);
        assert_eq!(names(root, &["a/*.zip", "a/1.zip", "./a/1.zip"]), ["a/1.zip", "a/2.zip"]);
        assert_eq!(names(root, &["a/.hidden"]), ["a/.hidden"]);
        let below = ["a/1.zip", "a/2.zip", "a/b/3.gz", "a/x.request.json"];
        for pattern in ["a/*", "a/**", "a/**/*", "[a]/**"] {
            assert_eq!(names(root, &[pattern]), below, "what is passed over in a folder no pattern means: {pattern}");
        }
        assert_eq!(names(root, &["a/.h*"]), ["a/.hidden"]);
        assert_eq!(names(root, &["."]).len(), 5, "the store inside the folder is passed over");
        assert_eq!(names(root, &["*"]).len(), 5, "also where a pattern names it");
        assert_eq!(names(root, &["store/**/*", "c*"]), ["c d.json"], "or a file of it");
    }

    #[test]
    fn a_side_file_is_no_archive() {
        let root = tree(&[
            "a/1.zip",
            "a/1.zip.request.json",
            "a/2.zip.request.json",
            "a/3.zip.request.json",
            "a/.request.json",
        ]);
        fs::write(root.path().join("a/2.zip.request.json"), r#"{"from":"x","to":"y"}"#).unwrap();
        let a = root.path().join("a");
        let said = |paths: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(|path| root.path().join(path)).collect();
            let found = discover(&paths, &root.path().join("store")).unwrap();
            let files: Vec<_> = found.files.into_iter().map(|file| file.path).collect();
            (files, found.side_files.into_iter().map(|(path, _)| path).collect::<Vec<_>>())
        };
        let (archive, records) = (a.join("1.zip"), a.join("3.zip.request.json"));
        let lonely = a.join("2.zip.request.json");
        assert_eq!(said(&["a"]), (vec![archive.clone(), records.clone()], vec![lonely.clone()]));
        assert_eq!(said(&["a/[1-9]*"]), (vec![archive.clone(), records], vec![lonely.clone()]));
        let named = a.join("1.zip.request.json");
        assert_eq!(said(&["a/1.zip", "a/1.zip.request.json"]), (vec![archive.clone()], vec![named]));
        assert_eq!(said(&["a/2.zip.request.json", "a/1.zip"]), (vec![archive], vec![lonely.clone()]));
        let beside = |paths: &[PathBuf]| {
            let found = discover(paths, &root.path().join("store")).unwrap().files;
            found.into_iter().map(|file| file.has_side_file).collect::<Vec<_>>()
        };
        assert_eq!(beside(std::slice::from_ref(&a)), [Some(true), Some(false)], "seen in the folder");
        assert_eq!(beside(&[a.join("1.zip")]), [None], "a folder that was not looked through");
        let error = discover(&[lonely], &root.path().join("store")).unwrap_err().to_string();
        assert!(error.contains("name the archive"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_utf_8_are_matched_by_patterns() {
        use std::os::unix::ffi::OsStrExt;
        let root = tree(&["a/1.json", "a/b/2.json"]);
        let odd = root.path().join(std::ffi::OsStr::from_bytes(b"a/caf\xe9.json"));
        if fs::write(&odd, "").is_err() {
            return; // Not every file system takes such names.
        }
        for (pattern, count) in [("a/*.json", 2), ("a/caf?.json", 1), ("*/*", 3), ("a/**/*.json", 3), ("a/1*", 1)] {
            let found = discover(&[root.path().join(pattern)], &root.path().join("store")).unwrap().files;
            assert_eq!(found.len(), count, "{pattern}");
            assert_eq!(found.iter().any(|file| file.path == odd), pattern != "a/1*", "{pattern}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_under_several_spellings_counts_once() {
        let root = tree(&["a/1.zip", "a/b/2.zip", "c/1.zip"]);
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, root.path().join(name)).unwrap();
        link("1.zip", "a/0.zip");
        link("../a", "c/again");
        let cases: [(&[&str], &[&str]); 4] = [
            (&["a/1.zip", "a/../a/1.zip", "a/./1.zip", "a//1.zip"], &["a/1.zip"]),
            (&["a"], &["a/0.zip", "a/b/2.zip"]),
            (&["a/b", "a/b/../b", "c/again/b/2.zip"], &["a/b/2.zip"]),
            (&["a", "c"], &["a/0.zip", "a/b/2.zip", "c/1.zip"]),
        ];
        for (paths, expected) in cases {
            assert_eq!(names(root.path(), paths), expected, "{paths:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_stops_nothing() {
        let root = tree(&["a/1.zip", "store/events/month=2026-01/f.parquet"]);
        std::os::unix::fs::symlink("nowhere", root.path().join("a/0.zip")).unwrap();
        let found = discover(&[root.path().join("a")], &root.path().join("store")).unwrap();
        assert_eq!(found.files, [FoundFile { path: root.path().join("a/1.zip"), has_side_file: Some(false) }]);
        assert_eq!(found.unreadable.len(), 1);
        assert_eq!(found.unreadable[0].0, root.path().join("a/0.zip"));
        let inside = discover(&[root.path().join("store/events")], &root.path().join("store"));
        assert!(inside.is_err(), "files of the store are no archives");
    }

    /// A link that leads to itself stands for all that the system refuses: root may enter any folder.
    #[cfg(unix)]
    #[test]
    fn what_may_not_be_looked_at_stops_nothing() {
        let root = tree(&["a/1.zip"]);
        std::os::unix::fs::symlink("loop", root.path().join("loop")).unwrap();
        let paths = ["a", "loop", "loop/x.zip"].map(|path| root.path().join(path));
        let found = discover(&paths, &root.path().join("store")).unwrap();
        assert_eq!(found.files.len(), 1);
        let told: Vec<_> = found.unreadable.iter().map(|(path, _)| path.as_path()).collect();
        assert_eq!(told, [&paths[1], &paths[2]]);
        assert!(found.unreadable.iter().all(|(_, words)| words.starts_with("cannot be looked at: ")), "{found:?}");
        assert!(discover(&paths[1..], &root.path().join("store")).unwrap().files.is_empty(), "told, and no error");
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let root = tree(&["a/.hidden"]);
        for path in ["nothing", "a/*.zip", "a/[", "a"] {
            assert!(discover(&[root.path().join(path)], &root.path().join("store")).is_err(), "{path}");
        }
    }
}
