//! The folder of templates that a job may have. Owned here: reading it. Not owned here: what a template may hold
//! (`operators::respond::templates`).

use engine::error::Error;
use operators::respond::templates::{FILE_BYTES_MAX, Folder, Templates};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// The templates of a folder over those that are built in, which are all where there is no folder.
///
/// # Errors
/// [`Error::Invalid`] with everything that is wrong with it.
pub fn read(folder: Option<&Path>) -> Result<Templates, Error> {
    let Some(folder) = folder else { return Ok(Templates::built_in()) };
    let (mut found, mut problems) = (Folder::new(), Vec::new());
    each(folder, "", &mut problems, |locale, path, problems| {
        let files = found.entry(locale.to_owned()).or_default();
        each(path, locale, problems, |file, path, problems| match text(path) {
            Ok(text) => drop(files.insert(file.to_owned(), text)),
            Err(why) => problems.push(format!("{locale}/{file}: {why}")),
        });
    });
    // A file that cannot be read is not missing, so nothing else is said of what it would have held.
    if problems.is_empty() {
        match Templates::with(&found) {
            Ok(templates) => return Ok(templates),
            Err(wrong) => problems = wrong,
        }
    }
    let number = match problems.len() {
        1 => "1 problem".to_owned(),
        number => format!("{number} problems"),
    };
    Err(Error::Invalid(format!("{number} in the templates of {}:\n{}", folder.display(), problems.join("\n"))))
}

/// Visits what lies in a folder by name, except for what is hidden.
fn each(folder: &Path, name: &str, problems: &mut Vec<String>, mut visit: impl FnMut(&str, &Path, &mut Vec<String>)) {
    let mut paths =
        match fs::read_dir(folder).and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, _>>()) {
            Ok(paths) => paths,
            Err(error) => return problems.push(format!("{name}: cannot be read as a folder: {error}")),
        };
    paths.sort();
    for path in paths {
        let own = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        if !own.starts_with('.') {
            visit(&own, &path, problems);
        }
    }
}

fn text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let read = file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    match text.len() > FILE_BYTES_MAX {
        true => Err(format!("has more than {FILE_BYTES_MAX} bytes")),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_or_everything_that_is_wrong_with_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let told = || read(Some(folder.path())).unwrap_err().to_string();
        fs::create_dir(at("de-CH")).unwrap();
        fs::create_dir(at(".git")).unwrap();
        fs::write(at("de-CH/user.txt"), "Subject: Hoi {{name}}\n\nHoi {{name}}").unwrap();
        fs::write(at("de-CH/.user.txt.swp"), [0xff]).unwrap();
        assert_eq!(read(Some(folder.path())).unwrap().locales().collect::<Vec<_>>(), ["de", "de-ch", "en"]);
        fs::write(at("de-CH/user.txt"), "Subject: Hoi {{nme}}\n\nHoi {{").unwrap();
        let two = told();
        assert!(two.contains("2 problems") && two.contains("de-ch/user.txt: `nme` is no name"), "{two}");
        fs::write(at("de-CH/admin.txt"), [0xff]).unwrap();
        fs::write(at("de-CH/admin.html"), "x".repeat(FILE_BYTES_MAX + 1)).unwrap();
        fs::write(at("readme"), "").unwrap();
        let three = told();
        assert!(three.contains("3 problems") && three.contains("de-CH/admin.txt: cannot be read"), "{three}");
        assert!(
            three.contains("de-CH/admin.html: has more than") && three.contains("readme: cannot be read as a folder")
        );
        assert!(read(Some(&at("none"))).is_err());
        assert!(read(None).is_ok());
    }
}
