//! Keys derived from the server's secrets, and what is sealed, signed or hashed with them.
