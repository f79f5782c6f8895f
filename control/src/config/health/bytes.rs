//! Bytes as checks write them: in hexadecimal digits, and the digests of bodies.

use std::fmt::Write;

use super::Digest;

/// The most that a datagram carries over Ethernet without fragments, in bytes.
pub(super) const MOST_BYTES: usize = 1472;

/// Bytes of hexadecimal digits, with or without blanks between bytes.
pub(super) fn from_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.chars().filter(|c| !c.is_whitespace());
    let digits: Option<Vec<u8>> = digits
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2));
    let digits = digits.ok_or_else(|| {
        format!("\"{text}\" is not bytes: write two hexadecimal digits for each, like \"00 ff\"")
    })?;
    let pairs = digits.chunks_exact(2);
    Ok(pairs
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect())
}

/// Hexadecimal digits without blanks.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Text always takes what is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The text that stands for these bytes, if one does that can be typed.
pub(super) fn as_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

impl Digest {
    /// `md5:` or `sha256:` and hexadecimal digits.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, digits) = text.split_once(':').unwrap_or(("", text));
        let bytes = from_hex(digits).unwrap_or_default();
        let found = match name {
            "md5" => bytes.try_into().ok().map(Self::Md5),
            "sha256" => bytes.try_into().ok().map(Self::Sha256),
            _ => None,
        };
        found.ok_or_else(|| {
            format!(
                "\"{text}\" is not a digest: write \"md5:\" and 32 hexadecimal digits, or \
                 \"sha256:\" and 64"
            )
        })
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Md5(bytes) => write!(f, "md5:{}", to_hex(bytes)),
            Self::Sha256(bytes) => write!(f, "sha256:{}", to_hex(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pairs_of_digits() {
        assert_eq!(from_hex("00 ff 1A"), Ok(vec![0, 255, 26]));
        assert_eq!(from_hex(""), Ok(Vec::new()));
        for wrong in ["f", "0g", "0 00"] {
            let why = "is not bytes: write two hexadecimal digits for each, like \"00 ff\"";
            assert_eq!(from_hex(wrong), Err(format!("\"{wrong}\" {why}")));
        }
    }

    #[test]
    fn text_is_what_can_be_typed() {
        assert_eq!(as_text("ping é".as_bytes()), Some("ping é"));
        assert_eq!(as_text(b"a\nb"), None);
        assert_eq!(as_text(&[0xff]), None);
    }

    #[test]
    fn digests_read_as_they_are_written() {
        for text in [
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert_eq!(Digest::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["d41d8cd98f00b204e9800998ecf8427e", "md5:d41d", "sha1:00"] {
            let why = "is not a digest: write \"md5:\" and 32 hexadecimal digits, or \"sha256:\" \
                       and 64";
            assert_eq!(Digest::parse(wrong), Err(format!("\"{wrong}\" {why}")));
        }
    }
}
