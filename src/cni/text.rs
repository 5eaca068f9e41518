//! Text that people and runtimes read: nothing in it may act on a terminal, break a log line, or be taken for success.
//!
//! Escaping leaves backslashes alone. So it is not reversible, but it is idempotent: a message that quotes another
//! message may pass through here again and stays readable.

use std::fmt::Write as _;
use std::path::Path;

/// Characters of a foreign value in an error message, at most.
const LONGEST_VALUE: usize = 60;

/// Escapes control characters, line breaks, Unicode's direction marks and invisible characters (`\n`, `\u{202e}`), so
/// that foreign text stays on its line and looks like what it is. Applying it twice changes nothing more.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_deceptive(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// Foreign bytes as printable text: invalid UTF-8 becomes `\xNN`, the rest is as in [`printable`].
pub fn printable_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// A path as printable text, whatever bytes its names have.
pub fn printable_path(path: &Path) -> String {
    printable_bytes(path.as_os_str().as_encoded_bytes())
}

/// A foreign value as it appears in an error message: printable, and cut with `…` after 60 characters.
pub fn shortened(text: &str) -> String {
    shortened_to(LONGEST_VALUE, text)
}

/// Foreign text, printable, and cut with `…` after `characters` characters of it.
pub fn shortened_to(characters: usize, text: &str) -> String {
    // Cut before escaping: the text may be megabytes long.
    match text.char_indices().nth(characters) {
        None => printable(text),
        Some((end, _)) => printable(text.get(..end).unwrap_or_default()) + "…",
    }
}

/// A foreign value as in [`shortened`], in quotes.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", shortened(text))
}

/// The phrases by which a runtime takes a failed DEL for a success, and words that mean the same.
///
/// containerd's go-cni ignores an error whose text contains "not found", and one with "no such file or directory" when
/// the netns is empty. No replacement begins or ends with what could complete a phrase with its neighbours: "the" keeps
/// `no such ` + replacement from reading as the second phrase.
const SUCCESS_PHRASES: [(&str, &str); 2] =
    [("not found", "missing"), ("no such file or directory", "the file or directory is missing")];

/// Rewrites the phrases by which a runtime takes a failed DEL for a success, in any letter case. The result never
/// contains one of them.
pub fn without_success_phrases(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let found = SUCCESS_PHRASES.iter().find_map(|(phrase, replacement)| {
            let (head, tail) = rest.split_at_checked(phrase.len())?;
            head.eq_ignore_ascii_case(phrase).then_some((replacement, tail))
        });
        match found {
            Some((replacement, tail)) => {
                out.push_str(replacement);
                rest = tail;
            }
            None => {
                out.push(letter);
                rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            }
        }
    }
    out
}

/// Whether a character moves the cursor, changes the direction of the text around it, or is not seen at all.
fn is_deceptive(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            // Soft hyphen, Arabic letter mark, Hangul fillers, Mongolian vowel separator.
            '\u{ad}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
            // Zero-width characters and direction marks; line and paragraph separators, embeddings and overrides;
            // word joiners, isolates.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Variation selectors, byte order mark, annotation marks, musical and shorthand format controls, tags.
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    fn lower_has_phrase(text: &str) -> bool {
        let lower = text.to_ascii_lowercase();
        SUCCESS_PHRASES.iter().any(|(phrase, _)| lower.contains(phrase))
    }

    #[test]
    fn control_characters_and_line_breaks_are_escaped() {
        assert_eq!(printable("a\nb\r\tc\u{1b}[2J\u{7f}\u{9b}"), "a\\nb\\r\\tc\\u{1b}[2J\\u{7f}\\u{9b}");
    }

    #[test]
    fn direction_marks_and_invisible_characters_are_escaped() {
        for letter in [
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{61c}',
            '\u{feff}',
            '\u{2028}',
            '\u{2029}',
            '\u{ad}',
            '\u{2060}',
            '\u{e0041}',
        ] {
            let text = printable(&format!("a{letter}b"));
            assert_eq!(text, format!("a\\u{{{:x}}}b", u32::from(letter)));
        }
    }

    #[test]
    fn ordinary_text_of_any_language_stays() {
        let text = "Größe 10 µs, 网络 \"x\" \\ C:\\n ~";
        assert_eq!(printable(text), text);
    }

    #[test]
    fn invalid_utf8_is_shown_as_bytes() {
        let bytes = b"ok\xff\xc3\n\xc3\xa9";
        assert_eq!(printable_bytes(bytes), "ok\\xff\\xc3\\n\u{e9}");
        assert_eq!(printable_path(Path::new(std::ffi::OsStr::from_bytes(bytes))), printable_bytes(bytes));
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        assert_eq!(shortened(&"é".repeat(60)), "é".repeat(60));
        assert_eq!(shortened(&"é".repeat(61)), "é".repeat(60) + "…");
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
    }

    #[test]
    fn success_phrases_are_rewritten_in_any_letter_case() {
        assert_eq!(
            without_success_phrases("pod Not Found: open /x: No Such File Or Directory!"),
            "pod missing: open /x: the file or directory is missing!"
        );
        assert_eq!(without_success_phrases("nothing found, Größe not foun"), "nothing found, Größe not foun");
    }

    #[test]
    fn success_phrases_do_not_form_again_around_a_rewritten_one() {
        for text in [
            "no such no such file or directory",
            "no such file or no such file or directory",
            "not not foundfound",
            "nonot foundt found",
            "no such file or directorno such file or directoryy",
            "not no such file or directoryfound",
            "no suchnot found file or directory",
        ] {
            let result = without_success_phrases(text);
            assert!(!lower_has_phrase(&result), "{text:?} became {result:?}");
        }
    }

    proptest! {
        #[test]
        fn no_success_phrase_survives(
            parts in prop::collection::vec(
                prop_oneof![
                    "not found|no such file or directory|NOT FOUND|no such |not |found|file or |directory",
                    "[nots ufhdirecyl]{0,6}",
                    any::<String>(),
                ],
                0..12,
            )
        ) {
            let text = parts.concat();
            let result = without_success_phrases(&text);
            prop_assert!(!lower_has_phrase(&result));
            if !lower_has_phrase(&text) {
                prop_assert_eq!(result, text);
            }
        }

        #[test]
        fn printable_text_has_no_control_characters_and_is_stable(bytes in any::<Vec<u8>>(), text in any::<String>()) {
            for result in [printable_bytes(&bytes), printable(&text)] {
                prop_assert!(!result.chars().any(is_deceptive));
                prop_assert_eq!(printable(&result), result);
            }
        }
    }
}
