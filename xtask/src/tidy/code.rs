//! Rust sources with everything blanked out that isn't code.

/// Blanks out comments, strings and characters, and drops the unit tests at the end of a file.
///
/// Line breaks stay, so that line numbers hold. This is a scanner, not a parser: it knows raw and byte strings,
/// nested block comments, and lifetimes from characters.
pub(super) fn only(text: &str) -> String {
    let blanked = blank(text);
    match blanked.find("\n#[cfg(test)]\nmod ") {
        Some(end) => blanked.get(..end).unwrap_or_default().to_owned(),
        None => blanked,
    }
}

/// Blanks out comments, strings and characters, and keeps unit tests.
pub(super) fn blank(text: &str) -> String {
    let mut scanner = Scanner {
        chars: text.chars().collect(),
        at: 0,
        code: String::with_capacity(text.len()),
    };
    while scanner.at < scanner.chars.len() {
        scanner.step();
    }
    scanner.code
}

/// The line number, from 1, of a byte position.
pub(super) fn line_at(text: &str, position: usize) -> usize {
    text.get(..position).unwrap_or(text).matches('\n').count() + 1
}

/// Tells whether a character can be part of a name.
pub(super) fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
    code: String,
}

impl Scanner {
    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            (Some('/'), Some('/')) => self.blank_until(|scanner| scanner.peek(0) == Some('\n')),
            (Some('/'), Some('*')) => self.block_comment(),
            (Some('"'), _) => self.string(),
            (Some('r'), Some('"' | '#')) if !self.follows_name() => self.raw_string(),
            (Some('\''), _) => self.character(),
            _ => self.keep(),
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// A prefix such as `b` belongs to the literal, any other name ends before it.
    fn follows_name(&self) -> bool {
        let mut before = self.code.chars().rev();
        match before.next() {
            Some('b' | 'c') => before.next().is_some_and(is_name),
            Some(letter) => is_name(letter),
            None => false,
        }
    }

    fn keep(&mut self) {
        self.code.extend(self.peek(0));
        self.at += 1;
    }

    fn blank(&mut self) {
        self.code
            .push(if self.peek(0) == Some('\n') { '\n' } else { ' ' });
        self.at += 1;
    }

    fn blank_until(&mut self, is_end: impl Fn(&Self) -> bool) {
        while self.at < self.chars.len() && !is_end(self) {
            self.blank();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_u32;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.blank();
                    continue;
                }
            }
            self.blank();
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.keep();
        while let Some(letter) = self.peek(0) {
            match letter {
                '"' => return self.keep(),
                '\\' => {
                    self.blank();
                    self.blank();
                }
                _ => self.blank(),
            }
        }
    }

    fn raw_string(&mut self) {
        let mut hashes = 0;
        while self.peek(1 + hashes) == Some('#') {
            hashes += 1;
        }
        if self.peek(1 + hashes) != Some('"') {
            return self.keep();
        }
        (0..hashes + 2).for_each(|_| self.blank());
        let is_end = |scanner: &Self| {
            scanner.peek(0) == Some('"') && (1..=hashes).all(|ahead| scanner.peek(ahead) == Some('#'))
        };
        self.blank_until(is_end);
        (0..hashes + 1).for_each(|_| self.blank());
    }

    fn character(&mut self) {
        let is_escape = self.peek(1) == Some('\\');
        if !is_escape && self.peek(2) != Some('\'') {
            return self.keep();
        }
        self.blank();
        if is_escape {
            self.blank();
        }
        self.blank();
        self.blank_until(|scanner| scanner.peek(0) == Some('\''));
        self.blank();
    }
}

#[cfg(test)]
mod tests {
    use super::{blank, only};

    #[test]
    fn comments_and_strings_are_blanked() {
        let text = "let a = \"x // y\"; // z\nlet b = r#\"q\"#; /* u /* v */ w */ c";
        let code = blank(text);
        for gone in ["x", "y", "z", "q", "u", "v", "w"] {
            assert!(!code.contains(gone), "{gone} in {code}");
        }
        assert!(code.contains("let b") && code.ends_with('c'));
    }

    #[test]
    fn lifetimes_are_no_characters() {
        assert_eq!(blank("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(blank("m('\"', '\\'', b'x', k)").replace(' ', ""), "m(,,b,k)");
    }

    #[test]
    fn unit_tests_are_dropped() {
        assert_eq!(only("fn a() {}\n#[cfg(test)]\nmod tests { }"), "fn a() {}");
    }
}
