//! Names of things in a bundle and around it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Problem, checked_text, refuse_unless, text_type};

checked_text! {
    /// The name of a bundle: 1 to 63 lower-case letters, digits and `-`.
    BundleName, "bartizan-bundle-name", "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", ["iot-gateway"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let ends = text.starts_with('-') || text.ends_with('-');
        refuse_unless(good && !ends && (1..=63).contains(&text.len()), || Problem::new(
            format!("`{text}` is not a bundle name"),
            "use 1 to 63 lower-case letters, digits and `-`, such as `iot-gateway`",
        ))
    }
}

checked_text! {
    /// A name inside a bundle: 1 to 63 lower-case letters, digits, `-` and `_`.
    Name, "bartizan-name", "^[a-z0-9][a-z0-9_-]{0,62}$", ["api"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        refuse_unless(good && starts && text.len() <= 63, || Problem::new(
            format!("`{text}` is not a name"),
            "use 1 to 63 lower-case letters, digits, `-` and `_`, starting with a letter or digit",
        ))
    }
}

impl Name {
    /// A name that is known to follow the rules.
    #[must_use]
    pub(crate) const fn known(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }
}

checked_text! {
    /// The name of a limit: a name, and before it the name of a part with a slash if the limit is of a part.
    LimitName, "bartizan-limit-name", "^([a-z0-9][a-z0-9_-]{0,62}/)?[a-z0-9][a-z0-9_-]{0,62}$", ["api", "shop/api"], |text| {
        match text.split_once('/') {
            Some((part, name)) => part.parse::<Name>().and_then(|_| name.parse::<Name>()).map(|_| ()),
            None => text.parse::<Name>().map(|_| ()),
        }
    }
}

checked_text! {
    /// A directory beside the bundle or in it, by its path relative to the bundle.
    PartDirectory, "bartizan-directory", r"^[^/\\]", ["../shop", "parts/shop"], |text| {
        let bad_byte = text.bytes().any(|b| b < 0x20 || b == 0x7f || b == b'\\');
        let mut down = text.split('/').skip_while(|part| *part == "..").peekable();
        let empty = down.peek().is_none();
        let bad_part = down.any(|part| part.is_empty() || part == "." || part == "..");
        refuse_unless(!bad_byte && !bad_part && !empty && text.len() <= 512, || Problem::new(
            format!("{text:?} is not the directory of a part"),
            "write it relative to the bundle directory, with single slashes: `../shop` or `parts/shop`",
        ))
    }
}

checked_text! {
    /// The name of a role, as it stands in tokens: 1 to 128 letters, digits and `_ - . : / @`.
    RoleName, "bartizan-role-name", "^[A-Za-z0-9_.:/@-]{1,128}$", ["operator"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:/@".contains(&b));
        refuse_unless(good && (1..=128).contains(&text.len()), || Problem::new(
            format!("`{text}` is not a role name"),
            "use 1 to 128 letters, digits and `_ - . : / @`",
        ))
    }
}

checked_text! {
    /// A name for people: 1 to 128 printable characters.
    Label, "bartizan-label", "^[ -~]{1,128}$", ["read-device"], |text| {
        let good = text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text;
        refuse_unless(good && (1..=128).contains(&text.len()), || Problem::new(
            format!("{text:?} is not a name for a route"),
            "use 1 to 128 printable ASCII characters, with no blank at either end",
        ))
    }
}

checked_text! {
    /// What a label says: 1 to 128 printable ASCII characters.
    LabelText, "bartizan-label-text", "^[ -~]{1,128}$", ["payments"], |text| {
        let good = text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text;
        refuse_unless(good && (1..=128).contains(&text.len()), || Problem::new(
            format!("{text:?} cannot be what a label says"),
            "use 1 to 128 printable ASCII characters, with no blank at either end",
        ))
    }
}

checked_text! {
    /// A file of the bundle, by its path relative to the bundle directory.
    BundleFile, "bartizan-file", "^[^/\\\\]", ["schemas/telemetry.json"], |text| {
        let bad_byte = text.bytes().any(|b| b < 0x20 || b == 0x7f || b == b'\\');
        let bad_part = text.split('/').any(|part| part.is_empty() || part == "." || part == "..");
        if text.starts_with('/') || text.split('/').any(|part| part == "..") {
            return Err(Problem::new(
                format!("`{text}` leaves the bundle directory"),
                "a bundle carries all its files; copy the file into it and name it by its path from there",
            ));
        }
        refuse_unless(!bad_byte && !bad_part && text.len() <= 512, || Problem::new(
            format!("{text:?} is not the path of a file"),
            "write it relative to the bundle directory, with single slashes: `schemas/telemetry.json`",
        ))
    }
}

checked_text! {
    /// The name of a cluster in the proxy's configuration.
    ClusterName, "bartizan-cluster", "^[!-~]{1,256}$", ["idp"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_graphic());
        refuse_unless(good && (1..=256).contains(&text.len()), || Problem::new(
            format!("{text:?} is not the name of a cluster"),
            "write the cluster's `name` as it stands in the proxy's configuration",
        ))
    }
}

checked_text! {
    /// Where something is on a web server.
    WebUri, "bartizan-web-uri", r#"^https?://[^@#\\\s"<>]{1,1024}$"#, ["https://login.example.com/keys"], |text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
        let plain = |b: u8| b.is_ascii_graphic() && !br#"@#\"<>"#.contains(&b);
        let host = !rest.is_empty() && !rest.starts_with(['/', '?', ':']);
        refuse_unless(host && rest.bytes().all(plain) && rest.len() <= 1024, || Problem::new(
            format!("{text:?} is not the place of something on a web server"),
            "write scheme, host and path: `https://login.example.com/keys`",
        ))
    }
}

checked_text! {
    /// A secret that is sealed to a key of the filter: what `bartizan seal` prints.
    SealedSecret, "bartizan-sealed", r"^[A-Za-z0-9_-]+\.\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$", ["eyJh..Xg.Zw.aQ"], |text| {
        let mut parts = text.split('.');
        let shape = parts.clone().count() == 5 && parts.clone().nth(1) == Some("");
        let good = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        refuse_unless(shape && parts.all(good) && text.len() <= 4096, || Problem::new(
            // What stands here may be the secret itself: never repeat it.
            "this is not a sealed secret",
            "seal it with `bartizan seal`, and write here what that prints",
        ))
    }
}

checked_text! {
    /// The name of an environment variable.
    EnvName, "bartizan-env-name", "^[A-Za-z_][A-Za-z0-9_]{0,127}$", ["CORP_SECRET"], |text| {
        let good = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let starts = text.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        refuse_unless(good && starts && text.len() <= 128, || Problem::new(
            // What stands here may be the secret itself: never repeat it.
            "this is not the name of an environment variable",
            "name the variable that holds the secret, such as `CORP_SECRET`; the secret itself never stands in a bundle",
        ))
    }
}
