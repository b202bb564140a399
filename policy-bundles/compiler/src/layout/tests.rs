use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

#[track_caller]
fn becomes(from: &str, to: &str) {
    assert_eq!(format(from).as_deref(), Ok(to), "from:\n{from}");
    assert_eq!(format(to).as_deref(), Ok(to));
}

#[test]
fn indentation_is_two_spaces_a_level_and_lists_are_indented() {
    becomes(
        "a:\n    b:\n    - c: 1\n      d:   2\n    -   - x\n        -  y\n    e: [ 1,2 ]\n",
        "a:\n  b:\n    - c: 1\n      d: 2\n    - - x\n      - y\n  e: [1, 2]\n",
    );
    becomes("a:\n- b\n- c\nd: 1\n", "a:\n  - b\n  - c\nd: 1\n");
    becomes("- a: 1\n  b:\n  - 2\n", "- a: 1\n  b:\n    - 2\n");
    becomes("a:\n    -\n        b: 1\n", "a:\n  -\n    b: 1\n");
    becomes("a:\n      text\n", "a:\n  text\n");
}

#[test]
fn brackets_have_no_blanks_inside_and_one_behind_commas_and_colons() {
    becomes("a: { b : 1 , c:   [ x,y , ] ,\"d\":2}\n", "a: {b: 1, c: [x, y,], \"d\": 2}\n");
    becomes("a: {  }\nb: [ ]\nc: {d: , e: }\n", "a: {}\nb: []\nc: {d: , e: }\n");
    becomes("a: [\n  1,\n      2\n  ]\n", "a: [\n  1,\n  2\n]\n");
    becomes("- {a: 1,\n   b: [2,\n  3]}\n- x\n", "- {a: 1,\n    b: [2,\n      3]}\n- x\n");
    becomes("a: {b: \"{x}\", c: http://h:1/p?q#r}\n", "a: {b: \"{x}\", c: http://h:1/p?q#r}\n");
}

#[test]
fn comments_and_single_free_lines_stay() {
    becomes(
        "\n\n# head   \n\n\n\na:   # why\n     # of b\n     b: 1# no comment\n\n# of c\nc: 2\n     # end\n\n\n",
        "# head\n\na:  # why\n  # of b\n  b: 1# no comment\n\n# of c\nc: 2\n# end\n",
    );
    becomes("a:\n    - b\n    # of the list\n# of nothing\n", "a:\n  - b\n  # of the list\n# of nothing\n");
    becomes("a: [ # why\n   1, # one\n # two\n   2]\n", "a: [  # why\n  1,  # one\n  # two\n  2]\n");
    becomes("---\na: 1\n", "---\na: 1\n");
}

#[test]
fn columns_that_were_meant_stay() {
    becomes("a:    1\nbbb:  2\n# c\nc:    3\n", "a:   1\nbbb: 2\n# c\nc:   3\n");
    becomes("a:  1\nbbb:  2\n", "a: 1\nbbb: 2\n");
    becomes("a: 1     # x\nbb: [2]  # y\nc: 3 # z\n", "a: 1     # x\nbb: [2]  # y\nc: 3  # z\n");
}

#[test]
fn quotes_become_double_ones_where_nothing_must_be_escaped() {
    becomes("a: 'x y'\n", "a: \"x y\"\n");
    becomes("a: ''\nb: ' x '\n", "a: \"\"\nb: \" x \"\n");
    for text in ["a: '\\d'\n", "a: 'it''s'\n", "a: '\"'\n", "a: \"\\t\"\n", "'1': \"2\"\n"] {
        let other = text.replace("'1'", "\"1\"");
        becomes(text, &other);
    }
}

#[test]
fn texts_of_several_lines_are_moved_and_nothing_else() {
    becomes(
        "a:\n      b: |\n         x\n           y\n\n         # no comment\n\n\n      c: 1\n",
        "a:\n  b: |\n    x\n      y\n\n    # no comment\n\n  c: 1\n",
    );
    becomes("a: >-   # why\n x\n\n y\n", "a: >-  # why\n  x\n\n  y\n");
    becomes("a: |+\n x\n\n\nb: 1\n", "a: |+\n  x\n\n\nb: 1\n");
    becomes("- |2\n    x\n   y\n", "- |2\n    x\n   y\n");
    becomes("- a: |\n   x\n- b\n", "- a: |\n    x\n- b\n");
    becomes("a: \"x  \n\n      y\\\n      z\"   # c\nb: 1\n", "a: \"x\n\n  y\\\n  z\"  # c\nb: 1\n");
    becomes("a: x\n       y\n\n\n\n       z\nb: 1\n", "a: x\n  y\n\n\n\n  z\nb: 1\n");
}

#[test]
fn line_ends_of_windows_and_what_stands_behind_lines_go() {
    becomes("\u{feff}a: 1  \r\n\r\nb: 2\t\r\n", "a: 1\n\nb: 2\n");
    becomes("a: 1", "a: 1\n");
}

#[test]
fn anchors_and_tags_of_case_files_stay() {
    becomes("a:   &x\n    b:  1\nc: *x\nd: [ *x,&y 2 ]\n", "a: &x\n  b: 1\nc: *x\nd: [*x, &y 2]\n");
    becomes("- !!str   1\n- &t |\n     x\n", "- !!str 1\n- &t |\n  x\n");
    becomes("", "");
    becomes("# only\n", "# only\n");
}

#[test]
fn what_is_not_understood_is_left_alone() {
    for (text, line) in [
        ("a: [1\n", 2),
        ("a: 1\n--- b\n", 2),
        ("a: 1\n---\nb: 1\n", 2),
        ("%YAML 1.2\n---\na: 1\n", 1),
        ("? a\n: 1\n", 1),
        ("a:\n\tb: 1\n", 2),
        ("a: \"x\n", 1),
    ] {
        let problem = format(text).unwrap_err();
        assert_eq!(problem.line, line, "{text:?}: {problem:?}");
        assert!(!problem.what.contains("fault of"), "{text:?}: {problem:?}");
    }
}

fn yaml_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

/// The library is in the layout, and comes back to it from whatever an editor does to all lines alike.
#[test]
fn the_library_comes_back_to_its_layout() {
    let mut files = Vec::new();
    yaml_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../library"), &mut files);
    assert!(files.len() > 10);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(format(&text).as_ref(), Ok(&text), "{}: bartizan fmt it", file.display());
        let wide = |factor: usize| {
            let lines = text.lines().map(|line| {
                let inner = line.trim_start_matches(' ');
                // A dash takes two columns of what stands behind it, however far the rest is indented.
                " ".repeat((line.len() - inner.len()) * factor) + inner
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        let is_flat = !text.contains("- name:") && !text.contains(": |");
        for other in [
            text.replace('\n', "\r\n"),
            text.replace('\n', "  \n"),
            text.replace("\n\n", "\n\n\n\n"),
            text.trim_end().to_owned(),
            if is_flat { wide(2) } else { text.clone() },
        ] {
            assert_eq!(format(&other).as_ref(), Ok(&text), "{}", file.display());
        }
    }
}

#[derive(Debug, Clone)]
enum Thing {
    Scalar(&'static str),
    List(Vec<Thing>, bool),
    Map(Vec<Thing>, bool),
}

fn thing() -> impl Strategy<Value = Thing> {
    let scalars =
        prop::sample::select(vec!["x", "1", "a b", "\"q: #\"", "'it''s'", "-1", "a:b", "~", "x#y", "/p/{i}"]);
    scalars.prop_map(Thing::Scalar).prop_recursive(4, 30, 4, |inner| {
        let many = prop::collection::vec(inner, 0..4);
        prop_oneof![
            (many.clone(), any::<bool>()).prop_map(|(things, flow)| Thing::List(things, flow)),
            (many, any::<bool>()).prop_map(|(things, flow)| Thing::Map(things, flow)),
        ]
    })
}

/// Writes it with these widths, taken in turn: blanks, indentation, free lines and comments are by chance.
struct Writer<'w> {
    widths: std::iter::Cycle<std::slice::Iter<'w, u8>>,
    out: String,
}

impl Writer<'_> {
    fn width(&mut self, most: u8) -> usize {
        usize::from(self.widths.next().copied().unwrap_or(0) % most)
    }

    fn blank(&mut self) -> String {
        " ".repeat(self.width(3))
    }

    fn flow(&mut self, thing: &Thing) -> String {
        let (all, brackets): (Vec<String>, _) = match thing {
            Thing::Scalar(text) if text.contains('{') => return format!("\"{text}\""),
            Thing::Scalar(text) => return (*text).to_owned(),
            Thing::List(things, _) => (things.iter().map(|thing| self.flow(thing)).collect(), "[]"),
            Thing::Map(things, _) => {
                let one = |(n, thing)| format!("k{n}: {}{}", self.blank(), self.flow(thing));
                (things.iter().enumerate().map(one).collect(), "{}")
            }
        };
        let comma = format!("{},{}", self.blank(), self.blank());
        let (open, close) = brackets.split_at(1);
        format!("{open}{}{}{close}", self.blank(), all.join(&comma))
    }

    /// Behind a colon or a dash.
    fn value(&mut self, thing: &Thing, indent: usize) {
        match thing {
            Thing::List(things, false) | Thing::Map(things, false) if !things.is_empty() => {
                self.out.push('\n');
                let step = self.width(4) + 1;
                self.block(thing, indent + step);
            }
            _ => {
                let (blank, value) = (self.blank(), self.flow(thing));
                let comment = ["", "  # why", " # a: b"][self.width(3)];
                let _ = writeln!(self.out, " {blank}{value}{comment}");
            }
        }
    }

    fn block(&mut self, thing: &Thing, indent: usize) {
        let (things, is_list) = match thing {
            Thing::List(things, _) => (things, true),
            Thing::Map(things, _) => (things, false),
            Thing::Scalar(_) => return,
        };
        for (n, thing) in things.iter().enumerate() {
            let free = "\n".repeat(self.width(3));
            self.out.push_str(&free);
            let pad = " ".repeat(indent);
            if self.width(4) == 0 {
                let _ = writeln!(self.out, "{pad}# of what comes");
            }
            let _ = if is_list { write!(self.out, "{pad}-") } else { write!(self.out, "{pad}k{n}:") };
            self.value(thing, indent);
        }
    }
}

fn written(thing: &Thing, widths: &[u8]) -> String {
    let mut writer = Writer { widths: widths.iter().cycle(), out: String::new() };
    match thing {
        Thing::List(things, false) | Thing::Map(things, false) if !things.is_empty() => {
            writer.block(thing, 0)
        }
        _ => {
            let text = writer.flow(thing);
            writer.out = text + "\n";
        }
    }
    writer.out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is taken is laid out: that it then means the same and stays as it is, `format` itself finds out.
    #[test]
    fn whatever_means_something_is_laid_out(thing in thing(), widths in prop::collection::vec(0_u8..=255, 1..40)) {
        let text = written(&thing, &widths);
        let formatted = format(&text);
        prop_assert!(formatted.is_ok(), "{formatted:?}\n{text}");
        let formatted = formatted.unwrap_or_default();
        prop_assert_eq!(formatted.matches('#').count(), text.matches('#').count());
        prop_assert!(!formatted.contains("\n\n\n") && !formatted.contains(" \n"));
    }

    /// No text makes it stumble, and what it gives back it gives back again.
    #[test]
    fn no_text_is_too_strange(text in "[-a:#'\"|>\\[\\]{},?&\\\\ \n]{0,60}") {
        if let Ok(formatted) = format(&text) {
            prop_assert_eq!(format(&formatted), Ok(formatted));
        }
    }
}
