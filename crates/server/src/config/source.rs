//! Where values come from: flags, the environment of the process, and a `.env` file.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::setting::{SETTINGS, Setting};

/// Largest `.env` that is read, in bytes.
const MAX_ENV_FILE_BYTES: usize = 1 << 20;

/// The texts that a configuration is read from.
#[derive(Debug, Default)]
pub struct Sources {
    flags: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    env_file: BTreeMap<String, Line>,
    mistakes: Vec<String>,
    warnings: Vec<String>,
}

/// A value of `.env` with the number of its line.
#[derive(Debug)]
struct Line {
    text: String,
    number: usize,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The table of settings.
    Default,
    /// A line of `.env`, counted from 1.
    EnvFile(usize),
    /// The environment of the process.
    Environment,
    /// A flag of the command line.
    Flag,
}

/// A value as it was given.
#[derive(Debug)]
pub struct Given {
    /// The text without white space around it, never empty.
    pub text: String,
    /// Where it was given.
    pub origin: Origin,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::EnvFile(line) => write!(f, ".env line {line}"),
            Self::Environment => f.write_str("the environment"),
            Self::Flag => f.write_str("the command line"),
        }
    }
}

impl Sources {
    /// Takes the environment of this process and the `.env` of its working directory.
    ///
    /// What can't be read becomes a mistake that [`super::Config::load`] reports with all others.
    #[must_use]
    pub fn of_process() -> Self {
        let mut sources = Self::default();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| is_known(name)) else {
                continue;
            };
            match value.into_string() {
                Ok(value) => sources.environment.extend([(name.to_owned(), value)]),
                Err(_) => sources.mistakes.push(format!(
                    "{name}: read bytes that are not UTF-8 from the environment"
                )),
            }
        }
        sources.read_env_file(Path::new(".env"));
        sources
    }

    /// Adds variables as if the environment of the process held them.
    #[must_use]
    pub fn with_environment<'a>(mut self, variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.environment.extend(owned);
        self
    }

    /// Adds flags by the name of their variable.
    #[must_use]
    pub fn with_flags(mut self, flags: impl IntoIterator<Item = (String, String)>) -> Self {
        self.flags.extend(flags);
        self
    }

    /// Adds the content of a `.env` file: `NAME=value` lines, `#` comments, an optional `export`.
    ///
    /// A value in double quotes knows `\n`, `\t`, `\"` and `\\`; one in single quotes is taken as it is; a bare one ends
    /// before ` #`. Nothing is substituted, so a `$` in a secret stays. The last line of a name counts.
    #[must_use]
    pub fn with_env_file(mut self, content: &str) -> Self {
        let lines = content.trim_start_matches('\u{feff}').lines();
        for (index, line) in lines.enumerate() {
            let number = index.saturating_add(1);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match read_line(line) {
                Some((name, text)) => self.add_line(name, Line { text, number }),
                // The content is not repeated: it may be a secret.
                None => self.mistakes.push(format!(
                    ".env line {number}: accepted: NAME=value, a # comment or nothing"
                )),
            }
        }
        self
    }

    /// What was wrong with the sources themselves.
    pub(super) fn mistakes(&self) -> &[String] {
        &self.mistakes
    }

    /// What works in the sources but should be looked at.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The names in `.env` with their line numbers.
    pub(super) fn env_file_names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.env_file
            .iter()
            .map(|(name, line)| (name.as_str(), line.number))
    }

    /// Finds the value of a setting that counts; an empty one in a stronger source hides a weaker one.
    ///
    /// # Errors
    /// A line to show when a name and its alias disagree in the same source.
    pub(super) fn find(&self, setting: &Setting) -> Result<Option<Given>, String> {
        let Some((text, origin)) = self.strongest(setting)? else {
            return Ok(None);
        };
        let text = text.trim();
        Ok((!text.is_empty()).then(|| Given {
            text: text.to_owned(),
            origin,
        }))
    }

    /// Where a setting was given as an empty text, if it was.
    pub(super) fn emptied(&self, setting: &Setting) -> Option<Origin> {
        let (text, origin) = self.strongest(setting).ok().flatten()?;
        text.trim().is_empty().then_some(origin)
    }

    fn strongest(&self, setting: &Setting) -> Result<Option<(&str, Origin)>, String> {
        if let Some(text) = self.flags.get(setting.name) {
            return Ok(Some((text, Origin::Flag)));
        }
        let from_environment = |name: &str| {
            self.environment
                .get(name)
                .map(|text| (text.as_str(), Origin::Environment))
        };
        let from_file = |name: &str| {
            self.env_file
                .get(name)
                .map(|line| (line.text.as_str(), Origin::EnvFile(line.number)))
        };
        if let Some(found) = either(setting, from_environment)? {
            return Ok(Some(found));
        }
        either(setting, from_file)
    }

    fn read_env_file(&mut self, path: &Path) {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return,
            Err(error) => return self.mistakes.push(format!(".env: can't be read: {error}")),
        };
        if bytes.len() > MAX_ENV_FILE_BYTES {
            return self
                .mistakes
                .push(".env: accepted: a file of at most 1 MiB".to_owned());
        }
        match String::from_utf8(bytes) {
            Ok(content) => *self = std::mem::take(self).with_env_file(&content),
            Err(_) => self.mistakes.push(".env: accepted: UTF-8 text".to_owned()),
        }
    }

    fn add_line(&mut self, name: String, line: Line) {
        let number = line.number;
        if let Some(earlier) = self
            .env_file
            .insert(name.clone(), line)
            .filter(|_| is_known(&name))
        {
            self.warnings.push(format!(
                "{name} is set twice in .env, on lines {} and {number}: the last counts",
                earlier.number
            ));
        }
    }
}

/// Finds a setting under its name or its alias in one source, where both must say the same.
fn either<'a>(
    setting: &Setting,
    find: impl Fn(&str) -> Option<(&'a str, Origin)>,
) -> Result<Option<(&'a str, Origin)>, String> {
    let by_name = find(setting.name);
    let Some(alias) = setting.alias else {
        return Ok(by_name);
    };
    match (by_name, find(alias)) {
        (Some((one, origin)), Some((other, _))) if one.trim() != other.trim() => Err(format!(
            "{}: read {} from {origin} and {alias} {}; accepted: one of them, or the same in both",
            setting.name,
            setting.quote(one),
            setting.quote(other),
        )),
        (by_name, by_alias) => Ok(by_name.or(by_alias)),
    }
}

fn is_known(name: &str) -> bool {
    SETTINGS
        .iter()
        .any(|setting| setting.name == name || setting.alias == Some(name))
}

fn read_line(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, rest) = line.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if !is_name {
        return None;
    }
    let rest = rest.trim();
    let (text, after) = if let Some(quoted) = rest.strip_prefix('\'') {
        quoted
            .split_once('\'')
            .map(|(text, after)| (text.to_owned(), after))?
    } else if let Some(quoted) = rest.strip_prefix('"') {
        read_quoted(quoted)?
    } else {
        (
            rest.split(" #").next().unwrap_or_default().trim_end().to_owned(),
            "",
        )
    };
    let after = after.trim();
    (after.is_empty() || after.starts_with('#')).then(|| (name.to_owned(), text))
}

/// Reads up to the closing double quote; answers the text and what follows the quote.
fn read_quoted(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = quoted.chars();
    loop {
        match rest.next()? {
            '"' => return Some((text, rest.as_str())),
            '\\' => text.push(match rest.next()? {
                'n' => '\n',
                't' => '\t',
                other @ ('"' | '\\' | '$') => other,
                _ => return None,
            }),
            plain => text.push(plain),
        }
    }
}
