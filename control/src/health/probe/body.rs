//! What the body of an answer must be.
//!
//! A digest is taken as the body comes, and an expression or a JSON field looks at what is kept.
//! Neither looks at more than [`LONGEST`] bytes.

use hyper::body::Bytes;
use md5::{Digest as _, Md5};
use regex::bytes::Regex;
use sha2::Sha256;

use super::failure::ProbeFailure;
use crate::config::Digest;

/// Bytes of a body that are looked at.
pub(super) const LONGEST: usize = 256 << 10;

/// What a body must be.
#[derive(Debug)]
pub(super) struct BodyRule {
    regex: Option<Regex>,
    digest: Option<Digest>,
}

/// What has come of a body.
#[derive(Debug)]
pub(super) struct Body {
    kept: Option<Vec<u8>>,
    hasher: Option<Hasher>,
    len: usize,
}

#[derive(Debug)]
enum Hasher {
    Md5(Md5),
    Sha256(Sha256),
}

impl BodyRule {
    /// A body that this expression matches somewhere, and that has this digest.
    pub(super) fn new(regex: Option<&str>, digest: Option<&Digest>) -> Result<Self, String> {
        let regex = regex.map(Regex::new).transpose();
        Ok(Self {
            regex: regex.map_err(|error| error.to_string())?,
            digest: digest.cloned(),
        })
    }

    /// Whether it matters what the body is.
    pub(super) fn asks(&self) -> bool {
        self.regex.is_some() || self.digest.is_some()
    }

    /// An empty body, which keeps what is looked at; also if somebody `reads` it.
    pub(super) fn begin(&self, reads: bool) -> Body {
        Body {
            kept: (reads || self.regex.is_some()).then(Vec::new),
            hasher: self.digest.as_ref().map(Hasher::of),
            len: 0,
        }
    }

    /// Whether the body is as it must be.
    pub(super) fn judge(&self, body: &mut Body) -> Result<(), ProbeFailure> {
        if self.asks() && body.is_too_long() {
            let words = format!("the body is longer than {} KiB", LONGEST >> 10);
            return Err(ProbeFailure::new(words));
        }
        let kept = body.kept.as_deref().unwrap_or_default();
        if self
            .regex
            .as_ref()
            .is_some_and(|regex| !regex.is_match(kept))
        {
            return Err(ProbeFailure::new("the body does not match"));
        }
        if body.hasher.take().map(Hasher::digest) != self.digest {
            return Err(ProbeFailure::new("the body has another digest"));
        }
        Ok(())
    }
}

impl Body {
    /// Takes a piece; false if no more is wanted.
    pub(super) fn take(&mut self, piece: &Bytes) -> bool {
        self.len = self.len.saturating_add(piece.len());
        if self.is_too_long() {
            return false;
        }
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(piece);
        }
        match &mut self.hasher {
            Some(Hasher::Md5(hasher)) => hasher.update(piece),
            Some(Hasher::Sha256(hasher)) => hasher.update(piece),
            None => {}
        }
        true
    }

    /// All of it, if it was kept and not too long.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        self.kept.as_deref().filter(|_| !self.is_too_long())
    }

    fn is_too_long(&self) -> bool {
        self.len > LONGEST
    }
}

impl Hasher {
    fn of(digest: &Digest) -> Self {
        match digest {
            Digest::Md5(_) => Self::Md5(Md5::new()),
            Digest::Sha256(_) => Self::Sha256(Sha256::new()),
        }
    }

    fn digest(self) -> Digest {
        match self {
            Self::Md5(hasher) => Digest::Md5(hasher.finalize().into()),
            Self::Sha256(hasher) => Digest::Sha256(hasher.finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the text `well`.
    const MD5: [u8; 16] = [
        0xf9, 0x32, 0x3f, 0x5b, 0x51, 0xfc, 0x23, 0xe3, 0x0c, 0x10, 0x62, 0x3b, 0xd3, 0x8d, 0xe6,
        0xff,
    ];

    fn judged(rule: &BodyRule, pieces: &[&[u8]]) -> Result<(), String> {
        let mut body = rule.begin(false);
        for piece in pieces {
            if !body.take(&Bytes::copy_from_slice(piece)) {
                break;
            }
        }
        rule.judge(&mut body).map_err(|failure| failure.to_string())
    }

    #[test]
    fn an_expression_matches_over_pieces() {
        let rule = BodyRule::new(Some("^all is well$"), None).unwrap();

        assert_eq!(judged(&rule, &[b"all is", b" well"]), Ok(()));
        assert_eq!(
            judged(&rule, &[b"all is"]),
            Err("the body does not match".to_owned())
        );
    }

    #[test]
    fn a_digest_is_of_all_pieces() {
        let rule = BodyRule::new(None, Some(&Digest::Md5(MD5))).unwrap();

        assert_eq!(judged(&rule, &[b"we", b"", b"ll"]), Ok(()));
        assert_eq!(
            judged(&rule, &[b"we"]),
            Err("the body has another digest".to_owned())
        );
    }

    #[test]
    fn a_body_of_256_kib_is_looked_at_and_a_longer_one_is_not() {
        let rule = BodyRule::new(Some("a"), None).unwrap();
        let longest = vec![b'a'; LONGEST];

        assert_eq!(judged(&rule, &[&longest]), Ok(()));
        assert_eq!(
            judged(&rule, &[&longest, b"a"]),
            Err("the body is longer than 256 KiB".to_owned())
        );
    }

    #[test]
    fn a_body_that_nobody_asks_about_may_have_any_length() {
        let rule = BodyRule::new(None, None).unwrap();

        assert_eq!(judged(&rule, &[&vec![b'a'; LONGEST], b"a"]), Ok(()));
    }

    #[test]
    fn an_expression_that_is_none_is_refused() {
        let refused = BodyRule::new(Some("(well"), None).unwrap_err();

        assert!(refused.contains("unclosed group"), "{refused}");
    }
}
