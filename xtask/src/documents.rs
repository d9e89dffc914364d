//! What the documents name: code spans, links, and the commands that they tell people to type.

use crate::tree::Source;

/// A piece of a document and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    /// File and line, for a message.
    pub(crate) place: String,
    /// The piece itself.
    pub(crate) text: String,
}

/// Tells whether a document describes what is there now; a change log also tells of what was.
pub(crate) fn is_current(source: &Source) -> bool {
    source.is_document() && source.path != "CHANGELOG.md"
}

/// Every `code span` outside of fenced blocks.
pub(crate) fn spans(source: &Source) -> Vec<Mention> {
    let mut found = Vec::new();
    for (place, line) in lines(source, Wanted::Prose) {
        for text in line.split('`').skip(1).step_by(2) {
            found.push(Mention {
                place: place.clone(),
                text: text.trim().to_owned(),
            });
        }
    }
    found
}

/// The target of every `[text](target)` outside of fenced blocks, without its fragment.
pub(crate) fn links(source: &Source) -> Vec<Mention> {
    let mut found = Vec::new();
    for (place, line) in lines(source, Wanted::Prose) {
        for rest in line.split("](").skip(1) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                found.push(Mention {
                    place: place.clone(),
                    text: target.to_owned(),
                });
            }
        }
    }
    found
}

/// Every command that starts with `program`: in a code span, or on a line of a fenced block.
///
/// A prompt, variables before the program, a folder before its name and a comment behind it are taken off;
/// `a && b` and `a | b` are two commands. Each is returned as its words, the program's name first.
pub(crate) fn commands(source: &Source, program: &str) -> Vec<(String, Vec<String>)> {
    let fenced = lines(source, Wanted::Fenced).into_iter();
    let spoken = spans(source).into_iter().map(|span| (span.place, span.text));
    let mut found = Vec::new();
    for (place, text) in fenced.chain(spoken) {
        let text = text
            .split(" #")
            .next()
            .unwrap_or_default()
            .replace("&&", "|")
            .replace(';', "|");
        for command in text.split('|') {
            let words: Vec<String> = command
                .split_whitespace()
                .skip_while(|word| *word == "$" || word.contains('='))
                .map(str::to_owned)
                .collect();
            let name = words
                .first()
                .map(|word| word.rsplit('/').next().unwrap_or_default());
            if name == Some(program) {
                found.push((place.clone(), words));
            }
        }
    }
    found
}

enum Wanted {
    Prose,
    Fenced,
}

fn lines(source: &Source, wanted: Wanted) -> Vec<(String, String)> {
    let mut is_fenced = false;
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced == matches!(wanted, Wanted::Fenced) {
            found.push((format!("{}:{}", source.path, index + 1), line.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{commands, links, spans};
    use crate::tree::Source;

    fn document() -> Source {
        let text =
            "Run `just ci` ([how](docs/a.md#x)).\n```sh\n$ A=1 ./bin/just test && cargo doc # just x\n```\n";
        Source {
            path: "README.md".to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn spans_and_links_are_found_in_prose() {
        let texts: Vec<String> = spans(&document()).into_iter().map(|span| span.text).collect();
        assert_eq!(texts, ["just ci"]);
        let targets: Vec<String> = links(&document()).into_iter().map(|link| link.text).collect();
        assert_eq!(targets, ["docs/a.md"]);
    }

    #[test]
    fn commands_are_found_in_spans_and_blocks() {
        let found: Vec<String> = commands(&document(), "just")
            .into_iter()
            .map(|(_, words)| words.join(" "))
            .collect();
        assert_eq!(found, ["./bin/just test", "just ci"]);
    }
}
