//! The texts of the page.

use std::fmt;

use model::{Detail, User};

/// What was entered, to be shown again when something else must be put right. Passwords never are.
#[derive(Default)]
pub(super) struct Entries {
    /// The e-mail as it was entered.
    pub(super) email: String,
    /// The user name as it was entered.
    pub(super) username: String,
}

/// The form, with what is to be put right.
pub(super) fn form(token: &str, entries: &Entries, details: &[Detail]) -> String {
    let email = field(
        "email",
        "E-mail address",
        "type=\"email\" autocomplete=\"email\"",
        &entries.email,
        details,
    );
    let username = field(
        "username",
        "User name",
        "type=\"text\" autocomplete=\"username\"",
        &entries.username,
        details,
    );
    let hint = "<p class=\"hint\" id=\"password-hint\">At least 8 characters. A few words in a row are good and easy to keep.</p>";
    let new_password = "type=\"password\" autocomplete=\"new-password\" minlength=\"8\"";
    let password = field("password", "Password", new_password, "", details);
    let repeated = field("repeated", "Password, once more", new_password, "", details);
    let body = format!(
        "<h1>Make the first admin</h1>\n\
         <p>This server has no admin yet. The account you make here may do everything on it.</p>\n\
         {summary}<form method=\"post\" action=\"/setup\">\n\
         <input type=\"hidden\" name=\"token\" value=\"{token}\">\n\
         {email}{username}{password}{hint}{repeated}\
         <button type=\"submit\">Make the admin</button>\n</form>\n",
        summary = summary(details),
        token = Escaped(token),
    );
    document(
        if details.is_empty() {
            "Make the first admin"
        } else {
            "Please correct: make the first admin"
        },
        &body,
    )
}

/// What is shown when the admin was made.
pub(super) fn welcome(user: &User) -> String {
    let body = format!(
        "<h1>Welcome, {username}</h1>\n\
         <p>The account is made, and this link has done its work: it can't be used again.</p>\n\
         <h2>What next</h2>\n\
         <ul>\n<li><a href=\"/docs/\">Read and try every route</a>: sign in with <code>POST /api/v1/auth/login</code> and use the \
         token under <em>Authorize</em>.</li>\n\
         <li><a href=\"/health\">See whether the server is well</a>.</li>\n</ul>\n",
        username = Escaped(user.username.as_str()),
    );
    document("The first admin was made", &body)
}

/// What is shown without a valid link.
pub(super) fn no_such_link() -> String {
    let body = "<h1>This link isn't valid</h1>\n\
        <p>It works once, for an hour, and only while the server has no admin.</p>\n\
        <p>To get a new one, start the server again; it prints a link when there is no admin. With access to its machine you can also run \
        <code>mcp-server admin create</code>.</p>\n";
    document("This link isn't valid", body)
}

fn field(name: &str, label: &str, attributes: &str, value: &str, details: &[Detail]) -> String {
    let refusal = details.iter().find(|detail| detail.path == name);
    let hint = if name == "password" { " password-hint" } else { "" };
    let (marks, message) = match refusal {
        Some(detail) => (
            format!(" aria-invalid=\"true\" aria-describedby=\"{name}-error{hint}\""),
            format!(
                "<p class=\"error\" id=\"{name}-error\">It {}.</p>\n",
                Escaped(&detail.message)
            ),
        ),
        None if hint.is_empty() => (String::new(), String::new()),
        None => (format!(" aria-describedby=\"{}\"", hint.trim()), String::new()),
    };
    format!(
        "<label for=\"{name}\">{label}</label>\n\
         <input id=\"{name}\" name=\"{name}\" {attributes} required value=\"{value}\"{marks}>\n{message}",
        value = Escaped(value),
    )
}

fn summary(details: &[Detail]) -> String {
    if details.is_empty() {
        return String::new();
    }
    let items: String = details.iter().map(summary_item).collect();
    format!(
        "<div class=\"summary\" role=\"alert\">\n<h2>Please correct this</h2>\n<ul>\n{items}</ul>\n</div>\n"
    )
}

fn summary_item(detail: &Detail) -> String {
    let known = [
        ("email", "The e-mail address"),
        ("username", "The user name"),
        ("password", "The password"),
        ("repeated", "The repeated password"),
    ];
    match known.iter().find(|(name, _)| detail.path == *name) {
        Some((name, label)) => {
            format!(
                "<li><a href=\"#{name}\">{label} {}</a></li>\n",
                Escaped(&detail.message)
            )
        }
        None => format!("<li>{}</li>\n", Escaped(&detail.message)),
    }
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} – MCP Server</title>\n\
         <link rel=\"stylesheet\" href=\"/setup/style.css\">\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A text as HTML shows it, in content and in quoted attributes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}
