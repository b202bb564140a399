//! Did you mean?

/// The candidate that somebody most likely meant, if any is close enough.
#[must_use]
pub fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Long texts are not typing mistakes, and comparing them costs the product of their lengths.
    if written.len() > 64 {
        return None;
    }
    let lower = written.to_lowercase();
    let most = (written.chars().count() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.into_iter().filter(|c| c.len() <= 128) {
        let other = candidate.to_lowercase();
        // A dash for an underscore, or another case, is the same word.
        let plain = |text: &str| text.replace(['-', '_', ' '], "");
        let distance = match plain(&lower) == plain(&other) {
            true => 0,
            false => strsim::damerau_levenshtein(&lower, &other),
        };
        if distance <= most && best.is_none_or(|(found, _)| distance < found) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// A remedy for an unknown word: the nearest known one, or the list of those there are.
#[must_use]
pub fn remedy<'c>(written: &str, known: impl IntoIterator<Item = &'c str>, what: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(written, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => format!("this bundle has no {what}: define it, or remove the name here"),
        None => format!("the {what} are {}", list(&known)),
    }
}

/// Words in backquotes with commas between, cut after the first twenty.
#[must_use]
pub fn list(words: &[&str]) -> String {
    let shown: Vec<String> = words.iter().take(20).map(|word| format!("`{word}`")).collect();
    let more = words.len().saturating_sub(20);
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_recognised() {
        let fields = ["access", "limits", "inspect", "max_size", "path"];
        assert_eq!(nearest("acess", fields), Some("access"));
        assert_eq!(nearest("acecss", fields), Some("access"));
        assert_eq!(nearest("maxSize", fields), Some("max_size"));
        assert_eq!(nearest("Limits", fields), Some("limits"));
        assert_eq!(nearest("paht", fields), Some("path"));
        assert_eq!(nearest("colour", fields), None);
        assert_eq!(nearest("", fields), None);
        assert_eq!(nearest(&"a".repeat(100_000), fields), None);
    }
}
