//! Which network is the primary one, and under which name ours comes first. No I/O.

use std::path::Path;

use super::conflist::Primary;
use super::survey::{Content, MultusDefault, Survey};
use crate::state::installation;

/// Names for our conflist, the usual one first; each sorts before the one before it.
pub(super) const NAMES: [&str; 4] =
    ["00-rooknet.conflist", "00-00-rooknet.conflist", "0-rooknet.conflist", "!rooknet.conflist"];

/// What was chosen.
#[derive(Clone, Debug)]
pub(super) enum Choice<'a> {
    /// This network, of this file (of Multus's, where it is in there).
    Network {
        /// The file's name.
        file: String,
        /// The network.
        primary: &'a Primary,
    },
    /// The pinned network's place is taken by another one.
    Changed {
        /// The file of the other one.
        file: String,
        /// It.
        primary: &'a Primary,
    },
    /// A file that cannot be read stands in the way.
    Malformed {
        /// Its name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// It is not there.
    Absent,
}

/// Chooses. `requested` is the administrator's word, a network's name or a file's; `pinned` what was chosen before;
/// `replaced` what a Multus says that was renamed.
pub(super) fn choose<'a>(
    survey: &'a Survey,
    requested: Option<&str>,
    pinned: Option<&installation::Primary>,
    replaced: &'a [(String, MultusDefault)],
) -> Choice<'a> {
    let multus: Vec<(&str, &MultusDefault)> =
        survey.multus().chain(replaced.iter().map(|(file, default)| (file.as_str(), default))).collect();
    if let Some(requested) = requested {
        return by_word(survey, requested, &multus);
    }
    if let Some(pinned) = pinned {
        return by_pin(survey, pinned, &multus);
    }
    for (file, default) in &multus {
        match default {
            MultusDefault::Inline(primary) => {
                // Multus's copy may be older than the file that it was made of.
                let (file, primary) = survey.network(&primary.name).unwrap_or((file, primary));
                return Choice::Network { file: file.to_owned(), primary };
            }
            MultusDefault::Reference(reference) => {
                // A daemon of Multus names files as they are below its own root.
                let found = by_word(survey, reference, &[]);
                if matches!(found, Choice::Network { .. } | Choice::Malformed { .. }) {
                    return found;
                }
            }
            MultusDefault::Unknown => {}
        }
    }
    first(survey)
}

/// What a runtime would load without us and Multus. A file that cannot be read is not passed over: it may be the one that
/// is being written, and what comes behind it the wrong one.
fn first(survey: &Survey) -> Choice<'_> {
    let found = survey.files.iter().find_map(|file| match &file.content {
        Content::Network(primary) => Some(Choice::Network { file: file.name.clone(), primary }),
        Content::Malformed(reason) => Some(Choice::Malformed { file: file.name.clone(), reason: reason.clone() }),
        Content::Ours | Content::Multus(_) | Content::Loopback => None,
    });
    found.unwrap_or(Choice::Absent)
}

fn by_word<'a>(survey: &'a Survey, word: &str, multus: &[(&str, &'a MultusDefault)]) -> Choice<'a> {
    let file_name = Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or(word);
    match survey.file(file_name) {
        Some(file) => match &file.content {
            Content::Network(primary) => return Choice::Network { file: file.name.clone(), primary },
            Content::Malformed(reason) => {
                return Choice::Malformed { file: file.name.clone(), reason: reason.clone() };
            }
            Content::Ours | Content::Multus(_) | Content::Loopback => {
                let reason = "it is no primary network: rooknet, Multus and the loopback cannot be one".to_owned();
                return Choice::Malformed { file: file.name.clone(), reason };
            }
        },
        None => {
            if let Some(found) = by_name(survey, word, multus) {
                return found;
            }
        }
    }
    Choice::Absent
}

fn by_name<'a>(survey: &'a Survey, name: &str, multus: &[(&str, &'a MultusDefault)]) -> Option<Choice<'a>> {
    if let Some((file, primary)) = survey.network(name) {
        return Some(Choice::Network { file: file.to_owned(), primary });
    }
    multus.iter().find_map(|(file, default)| match default {
        MultusDefault::Inline(primary) if primary.name == name => {
            Some(Choice::Network { file: (*file).to_owned(), primary })
        }
        _ => None,
    })
}

fn by_pin<'a>(survey: &'a Survey, pinned: &installation::Primary, multus: &[(&str, &'a MultusDefault)]) -> Choice<'a> {
    // Two files of one name: the one that it was, as long as it is.
    if let Some(file) = survey.file(&pinned.file)
        && let Content::Network(primary) = &file.content
        && primary.name == pinned.name
    {
        return Choice::Network { file: file.name.clone(), primary };
    }
    if let Some(found) = by_name(survey, &pinned.name, multus) {
        return found;
    }
    if let Some(file) = survey.file(&pinned.file)
        && let Content::Malformed(reason) = &file.content
    {
        return Choice::Malformed { file: file.name.clone(), reason: reason.clone() };
    }
    match first(survey) {
        Choice::Network { file, primary } => Choice::Changed { file, primary },
        other => other,
    }
}

/// The name for our conflist by which it comes first of `others`; the file that comes before all of them, if there is
/// none.
pub(super) fn name_before<'a>(others: impl Iterator<Item = &'a str>) -> Result<&'static str, String> {
    let Some(first) = others.min() else { return Ok(NAMES[0]) };
    NAMES.into_iter().find(|name| *name < first).ok_or_else(|| first.to_owned())
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
