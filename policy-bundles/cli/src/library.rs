//! The ready-made bundles, as they were when the command was built.

use include_dir::{Dir, include_dir};

static LIBRARY: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../library");

/// A file of a bundle: its path relative to the bundle, and its bytes.
pub(crate) type File = (String, &'static [u8]);

/// The names of the ready-made bundles, in order.
pub(crate) fn names() -> Vec<&'static str> {
    let is_bundle = |dir: &&Dir<'static>| dir.get_file(dir.path().join("bundle.yaml")).is_some();
    let mut names: Vec<&str> =
        LIBRARY.dirs().filter(is_bundle).filter_map(|dir| dir.path().file_name()?.to_str()).collect();
    names.sort_unstable();
    names
}

/// The files of a bundle, in order.
pub(crate) fn files(name: &str) -> Option<Vec<File>> {
    let dir = LIBRARY.dirs().find(|dir| dir.path().file_name().is_some_and(|n| n == name))?;
    let mut files = Vec::new();
    let mut open = vec![dir];
    while let Some(next) = open.pop() {
        open.extend(next.dirs());
        for file in next.files() {
            let relative = file.path().strip_prefix(dir.path()).ok()?.to_str()?.replace('\\', "/");
            files.push((relative, file.contents()));
        }
    }
    files.sort();
    Some(files)
}

/// What a bundle is for: its `description`.
pub(crate) fn description(name: &str) -> Option<String> {
    let files = files(name)?;
    let (_, bytes) = files.iter().find(|(path, _)| path == "bundle.yaml")?;
    let text = std::str::from_utf8(bytes).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("description:"))?;
    Some(line.trim().trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_inside() {
        for name in ["minimal", "iot-gateway", "agent-api", "fleet-devices", "lockdown", "several-teams"] {
            assert!(names().contains(&name), "{name}");
            assert!(files(name).unwrap().iter().any(|(path, _)| path == "bundle.yaml"), "{name}");
        }
        assert!(files("..").is_none() && files("nope").is_none());
    }
}
