//! Path traversal, and files that no client has business with.

use super::Form;
use super::classes::{Classes, SHARP, SLASH, WIDE};

/// Whether a text climbs out of a directory, or names a file of the operating system.
pub(super) fn is_attack(text: &[u8], classes: Classes, form: Form) -> bool {
    if classes.any(WIDE) && has_overlong(text) {
        return true;
    }
    if !classes.any(SHARP | SLASH) {
        return text == b"..";
    }
    let climbs = climbs(text) && !(form == Form::Sent && is_after_a_word(text));
    text.contains(&0) || climbs || names_system_file(text) || spells_dots(text)
}

fn is_separator(byte: u8) -> bool {
    byte == b'/' || byte == b'\\'
}

/// A `..` between separators, at least one of which is there: `../`, `..\`, `/..` at the end.
///
/// `a..b`, `1..10`, `wait...` and `...` are left alone. Bytes that servers strip (`;` parameters, spaces and
/// dots that Windows ignores) do not hide it.
fn climbs(text: &[u8]) -> bool {
    let mut start = 0;
    let mut after_separator = false;
    loop {
        let rest = text.get(start..).unwrap_or(b"");
        let end = rest.iter().position(|b| is_separator(*b));
        let segment = rest.get(..end.unwrap_or(rest.len())).unwrap_or(b"");
        // At the very end `/..` climbs, and `/...` is somebody trailing off.
        let last_dots = end.is_none() && segment.len() > 2;
        if !last_dots && is_parent(segment, after_separator) && (after_separator || end.is_some()) {
            return true;
        }
        let Some(length) = end else { return false };
        start += length + 1;
        after_separator = true;
    }
}

/// `import ../lib`, `see ../docs`: words, one space, and one step up to a name. Whoever opens such a value as a path is
/// in a directory called `import ..` and climbs nowhere. Other marks before the dots are those of a syntax that
/// cuts the path out (`file=../x`), and who climbs further is no longer in a sentence.
fn is_after_a_word(text: &[u8]) -> bool {
    let Some(dots) = text.windows(2).position(|pair| pair == b"..") else { return false };
    let (before, after) = (text.get(..dots).unwrap_or(b""), text.get(dots + 2..).unwrap_or(b""));
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b',' | b'.');
    matches!(before, [.., letter, b' '] if letter.is_ascii_alphabetic())
        && before.iter().all(is_word)
        && matches!(after, [b'/', name, ..] if name.is_ascii_alphanumeric())
        && !after.windows(2).any(|pair| pair == b"..")
}

/// Whether a path segment means the parent directory to somebody. The first segment of a value may have
/// something before it: `file=../x`, `foo: ../x`.
fn is_parent(segment: &[u8], after_separator: bool) -> bool {
    let segment = match segment.iter().position(|b| *b == b';') {
        Some(parameter) if after_separator => segment.get(..parameter).unwrap_or(b""),
        _ => segment,
    };
    let Some(before) = segment.strip_suffix(b"..") else { return false };
    // `....//` becomes `../` where a filter takes `../` out once; `...` climbs two levels on old Windows.
    if after_separator && before.iter().all(|b| *b == b'.') {
        return true;
    }
    match before.last() {
        None => true,
        Some(last) => !after_separator && !last.is_ascii_alphanumeric() && *last != b'.' && *last < 0x80,
    }
}

/// Files and directories whose mere mention is an attempt to read them. Lower-case; `/` stands for either
/// separator.
const SYSTEM_FILES: &[&str] = &[
    "etc/passwd",
    "etc/shadow",
    "etc/group",
    "etc/hosts",
    "etc/master.passwd",
    "etc/subuid",
    "etc/subgid",
    "/etc/issue",
    "/etc/fstab",
    "/etc/resolv.conf",
    "/etc/crontab",
    "/etc/sudoers",
    "/etc/ssh/",
    "/proc/self",
    "/proc/version",
    "/proc/cpuinfo",
    "/proc/mounts",
    "/proc/net/",
    "/proc/interrupts",
    "/proc/meminfo",
    "/proc/1/",
    "/sys/class",
    "/var/log/",
    "/root/.",
    ".ssh/id_",
    "/.ssh/",
    "/.git/",
    "/.svn/",
    "/.hg/",
    "/.docker/",
    "/.kube/",
    "/.npmrc",
    "/.netrc",
    "/.pgpass",
    "/.vscode/",
    "/.idea/",
    "/.claude/",
    "/.cursor/",
    "/.codex/",
    "/wp-config.php",
    "/.aws/credentials",
    "/.htaccess",
    "/.htpasswd",
    "/.bash_history",
    "/.env",
    "c:/windows",
    "c:/winnt",
    "/windows/system32",
    "/windows/win.ini",
    "/boot.ini",
    "/win.ini",
    "/inetpub/",
    "/global.asa",
    "web-inf/web.xml",
    "/web.config",
    "/web-inf/",
];

fn names_system_file(text: &[u8]) -> bool {
    text.windows(2).enumerate().any(|(at, pair)| {
        let [separator, next] = pair else { return false };
        is_separator(*separator)
            && !is_separator(*next)
            && SYSTEM_FILES
                .iter()
                .any(|file| is_file_at(text, at, next.to_ascii_lowercase(), file.as_bytes()))
    })
}

/// Whether a file is named with its first separator at a position; `next` is what follows the position.
#[inline]
fn is_file_at(text: &[u8], at: usize, next: u8, file: &[u8]) -> bool {
    let offset = match file {
        // Nearly always this byte decides.
        [b'/', second, ..] if *second != next => return false,
        [b'/', ..] => 0,
        other => other.iter().position(|b| *b == b'/').unwrap_or(0),
    };
    let candidate = at.checked_sub(offset).and_then(|from| text.get(from..from + file.len()));
    candidate.is_some_and(|candidate| {
        candidate.iter().zip(file).all(|(have, want)| {
            if *want == b'/' { is_separator(*have) } else { have.to_ascii_lowercase() == *want }
        })
    })
}

/// Dots and separators spelt as hexadecimal literals, which some databases and scripts decode.
fn spells_dots(text: &[u8]) -> bool {
    text.windows(6).any(|six| {
        matches!(six, [b'.', b'.', b'0', b'x' | b'X', b'2' | b'5', b'f' | b'F' | b'c' | b'C'])
            || six.eq_ignore_ascii_case(b"0x2e0x")
    })
}

/// Overlong UTF-8 forms of `.`, `/` and `\` (RFC 3629, section 10, forbids them; old decoders took them).
fn has_overlong(text: &[u8]) -> bool {
    text.windows(2).any(|pair| matches!(pair, [0xc0 | 0xc1, _]))
        || text.windows(3).any(|triple| matches!(triple, [0xe0, 0x80..=0x9f, _]))
}
