//! A QR code in the terminal.

use clap::ValueEnum;
use qrcode::{Color, EcLevel, QrCode};

use crate::output::{BLACK_ON_WHITE, paint};

/// How to draw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Style {
    /// Black on white where there are colours, whatever those of the terminal are; else as `ascii`.
    #[default]
    Auto,
    /// Blocks without colours, for dark text on a light terminal.
    Plain,
    /// Blocks without colours, for light text on a dark terminal.
    Inverse,
    /// The character `#` where it is dark.
    Ascii,
    /// Not at all.
    None,
}

/// The white border that scanners need, in modules (ISO/IEC 18004, section 6.3.8, asks for four; two do on a screen, whose
/// own border is empty too).
const QUIET: usize = 2;

/// The picture of a text, line by line; `painted` says whether there are colours.
pub(super) fn draw(text: &str, style: Style, painted: bool) -> Result<String, String> {
    if style == Style::None {
        return Ok(String::new());
    }
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|_| "the names are too long for a QR code; take shorter ones, or `--qr none`".to_owned())?;
    let width = code.width();
    let dark = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < width);
        inside(x).zip(inside(y)).is_some_and(|at| code[at] == Color::Dark)
    };
    let all = width.saturating_add(2 * QUIET);
    let mut picture = String::new();
    if style == Style::Ascii || (style == Style::Auto && !painted) {
        for y in 0..all {
            let line: String = (0..all).map(|x| if dark(x, y) { "##" } else { "  " }).collect();
            picture.push_str(&format!("  {}\n", line.trim_end()));
        }
        picture.push('\n');
        return Ok(picture);
    }
    // Two modules in one character, one above the other: characters are twice as high as wide.
    let inverse = style == Style::Inverse;
    for y in (0..all).step_by(2) {
        let line: String = (0..all)
            .map(|x| match (dark(x, y) != inverse, (dark(x, y.saturating_add(1))) != inverse) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect();
        if style == Style::Auto {
            picture.push_str(&format!("  {}\n", paint(true, BLACK_ON_WHITE, &line)));
        } else {
            picture.push_str(&format!("  {line}\n"));
        }
    }
    picture.push('\n');
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_the_code_in_every_style() {
        let code = QrCode::with_error_correction_level("otpauth://totp/a:b", EcLevel::L).unwrap();
        let ascii = draw("otpauth://totp/a:b", Style::Ascii, true).unwrap();
        let rows: Vec<&str> = ascii.lines().collect();
        for y in 0..code.width() {
            for x in 0..code.width() {
                let row = rows.get(y + QUIET).copied().unwrap_or_default();
                let at = 2 + 2 * (x + QUIET);
                let cell = row.get(at..at + 2).unwrap_or("  ");
                assert_eq!(cell == "##", code[(x, y)] == Color::Dark, "{x} {y}");
            }
        }
        let painted = draw("otpauth://totp/a:b", Style::Auto, true).unwrap();
        assert!(painted.lines().filter(|l| !l.is_empty()).all(|l| l.starts_with("  \x1b[38;5;16;48;5;231m")));
        let plain = draw("otpauth://totp/a:b", Style::Plain, true).unwrap();
        let inverse = draw("otpauth://totp/a:b", Style::Inverse, true).unwrap();
        let turned: String = plain
            .chars()
            .map(|c| match c {
                '█' => 'x',
                '▀' => '▄',
                '▄' => '▀',
                other => other,
            })
            .collect();
        assert!(plain.contains('█') && inverse.contains('█') && turned.len() != inverse.len());
        assert_eq!(draw("x", Style::None, true).unwrap(), "");
        assert!(draw("otpauth://totp/a:b", Style::Auto, false).unwrap().contains("##"));
        assert!(draw(&"x".repeat(4000), Style::Plain, true).is_err());
    }
}
