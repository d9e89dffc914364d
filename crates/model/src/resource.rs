//! Resources: what a plugin lets be read, each by an address.

/// The scheme of this server's own resources, which no plugin's address may have.
pub const OWN_SCHEME: &str = "mcp-server";

/// One resource of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Where it is: an absolute URI, which no other resource of any plugin has. Never of the scheme
    /// [`OWN_SCHEME`].
    pub uri: String,
    /// Its name, for programs.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What it holds.
    pub description: String,
    /// In which form, when it is always the same one.
    pub mime_type: Option<String>,
}

/// Many resources of a plugin, whose addresses follow one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceTemplate {
    /// The pattern (RFC 6570). What stands before its first expression must hold the scheme, and sets it apart from the
    /// patterns of all other plugins.
    pub uri_template: String,
    /// Its name, for programs.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What they hold.
    pub description: String,
    /// In which form, when it is the same for all.
    pub mime_type: Option<String>,
}

/// One part of what a resource holds; most have one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourcePart {
    /// Where the part is; for a resource of one part, the address that was read.
    pub uri: String,
    /// In which form.
    pub mime_type: Option<String>,
    /// What it holds.
    pub body: ResourceBody,
}

/// What a part of a resource holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResourceBody {
    /// Text.
    Text(String),
    /// Any bytes.
    Blob(Vec<u8>),
}
