//! `bartizan completions` and `bartizan man`.

use std::process::Command;

use crate::Scratch;

#[test]
fn shells_complete_every_command() {
    let scratch = Scratch::new("completions");
    for (shell, mark) in
        [("bash", "complete -F _bartizan"), ("zsh", "#compdef bartizan"), ("fish", "complete -c bartizan")]
    {
        let script = scratch.ends(0, &format!("completions {shell}"));
        assert!(script.contains(mark), "{shell}");
        for word in ["hash-key", "completions", "deny-warnings", "fmt"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    scratch.ends(2, "completions tcsh");
    // Bash itself, as far as one asks it without a terminal.
    scratch.write("bartizan.bash", &scratch.ends(0, "completions bash"));
    let ask = "source bartizan.bash && COMP_WORDS=(bartizan insp) COMP_CWORD=1 && _bartizan bartizan insp bartizan && \
               echo \"${COMPREPLY[*]}\"";
    let output = Command::new("bash").args(["-c", ask]).current_dir(&scratch.0).output();
    let output = output.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "inspect", "{output:?}");
}

#[test]
fn every_command_has_a_page() {
    let scratch = Scratch::new("man");
    let page = scratch.ends(0, "man");
    assert!(page.contains(".TH bartizan 1") && page.contains("bartizan\\-hash\\-key(1)"), "{page}");
    assert!(scratch.ends(0, "man -o .").contains("pages"));
    for name in ["bartizan", "bartizan-build", "bartizan-hash-key"] {
        let page = scratch.read(&format!("{name}.1"));
        assert!(
            page.contains(&format!(".TH {name} 1")) && page.contains(".SH \"EXAMPLES\"\n.PP\n.nf\n"),
            "{page}"
        );
    }
    let page = scratch.read("bartizan-hash-key.1");
    assert!(page.contains("\\fBbartizan hash\\-key\\fR") && page.contains("pass show api/device"), "{page}");
    scratch.ends(3, "man -o nowhere");
}
