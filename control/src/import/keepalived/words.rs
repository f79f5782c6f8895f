//! A line of keepalived's configuration without its comment, and its words.
//!
//! Words are split at blanks. Quotes (`"` or `'`) keep blanks and are taken away, also within a
//! word; a backslash takes the meaning from what follows it, or gives one, as in a shell. `{` and
//! `}` count where they are words of their own, and `{` also at the end of a line's last word.

/// A line that has lost its comment and the blanks around it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stripped {
    /// What is left.
    pub(super) text: String,
    /// Whether a backslash at its end joins the next line to it.
    pub(super) continues: bool,
}

/// Takes away a comment: what follows `#` or `!` outside double quotes.
pub(super) fn strip(line: &str) -> Stripped {
    let mut text = String::new();
    let mut continues = false;
    let mut is_quoted = false;
    let mut rest = line.trim().chars();
    while let Some(c) = rest.next() {
        match c {
            '#' | '!' if !is_quoted => break,
            '"' => is_quoted = !is_quoted,
            '\\' => match rest.next() {
                None => {
                    continues = true;
                    break;
                }
                Some(mark @ ('#' | '!')) if !is_quoted => {
                    text.push(mark);
                    continue;
                }
                Some(escaped) => {
                    text.push('\\');
                    text.push(escaped);
                    continue;
                }
            },
            _ => {}
        }
        text.push(c);
    }
    let text = text.trim().to_owned();
    Stripped { text, continues }
}

/// A word of a line, or a brace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Open,
    Close,
}

/// The words of a line, and whether every quote is closed.
pub(super) fn split(line: &str) -> (Vec<Token>, bool) {
    let mut tokens = Vec::new();
    let mut chars = line.chars().peekable();
    let mut is_closed = true;
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none() {
            break;
        }
        let (word, is_plain, closed) = word(&mut chars);
        is_closed &= closed;
        match word.as_str() {
            "{" if is_plain => tokens.push(Token::Open),
            "}" if is_plain => tokens.push(Token::Close),
            _ => {
                let attached = word.strip_suffix('{');
                let attached = attached.filter(|word| is_plain && !word.contains('$'));
                match attached.filter(|_| chars.peek().is_none()) {
                    Some(word) => tokens.extend([Token::Word(word.to_owned()), Token::Open]),
                    None => tokens.push(Token::Word(word)),
                }
            }
        }
    }
    (tokens, is_closed)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// The next word, whether it has neither quotes nor escapes, and whether its quotes are closed.
fn word(chars: &mut Chars<'_>) -> (String, bool, bool) {
    let mut word = String::new();
    let mut quote = None;
    let mut is_plain = true;
    while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_whitespace()) {
        match c {
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                is_plain = false;
            }
            c if quote == Some(c) => quote = None,
            '\\' => {
                word.push(escaped(chars));
                is_plain = false;
            }
            c => word.push(c),
        }
    }
    (word, is_plain, quote.is_none())
}

/// What a backslash and the characters behind it stand for.
fn escaped(chars: &mut Chars<'_>) -> char {
    let Some(c) = chars.next() else {
        return '\\';
    };
    match c {
        'a' => '\x07',
        'b' => '\x08',
        'E' => '\x1b',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        'c' => match chars.next() {
            Some(letter) => byte(u32::from(letter) & 0x1f),
            None => 'c',
        },
        'x' => number(chars, 16, usize::MAX).unwrap_or('x'),
        '0'..='7' => {
            let first = c.to_digit(8).unwrap_or(0);
            let mut value = first;
            for _ in 0..2 {
                let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else {
                    break;
                };
                chars.next();
                value = value * 8 + digit;
            }
            byte(value)
        }
        other => other,
    }
}

/// The byte that digits stand for; none if there is no digit.
fn number(chars: &mut Chars<'_>, radix: u32, most: usize) -> Option<char> {
    let mut value: Option<u32> = None;
    for _ in 0..most {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else {
            break;
        };
        chars.next();
        value = Some((value.unwrap_or(0) * radix + digit) & 0xff);
    }
    value.map(byte)
}

fn byte(value: u32) -> char {
    char::from(u8::try_from(value & 0xff).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let (tokens, _) = split(line);
        let words = tokens.into_iter().map(|token| match token {
            Token::Word(word) => word,
            Token::Open => "OPEN".to_owned(),
            Token::Close => "CLOSE".to_owned(),
        });
        words.collect()
    }

    #[test]
    fn comments_begin_anywhere_but_in_quotes_and_behind_a_backslash() {
        for (line, left) in [
            ("! a comment", ""),
            ("  weight 1 # much", "weight 1"),
            ("weight 1!much", "weight 1"),
            ("password \"a#b!c\" # x", "password \"a#b!c\""),
            (r"password a\#b\!c # x", "password a#b!c"),
            ("path \"a\\\"#b\" # x", "path \"a\\\"#b\""),
        ] {
            assert_eq!(strip(line).text, left, "{line}");
            assert!(!strip(line).continues, "{line}");
        }
    }

    #[test]
    fn a_backslash_at_the_end_joins_the_next_line() {
        let stripped = strip("$X= \\");

        assert_eq!(stripped.text, "$X=");
        assert!(stripped.continues);
        assert!(!strip(r"path \\").continues);
    }

    #[test]
    fn quotes_keep_blanks_also_within_a_word() {
        assert_eq!(
            words(r#"abcd" efg h jkl "mnop x"#),
            ["abcd efg h jkl mnop", "x"]
        );
        assert_eq!(
            words(r#"abcd "efg h jkl" mnop"#),
            ["abcd", "efg h jkl", "mnop"]
        );
        assert_eq!(words(r#"it 'says "so"' """#), ["it", "says \"so\"", ""]);
    }

    #[test]
    fn escapes_are_those_of_a_shell() {
        assert_eq!(
            words(r#""\a\b\E\f\n\r\t\v""#),
            ["\x07\x08\x1b\x0c\n\r\t\x0b"]
        );
        assert_eq!(words(r#""\101\x42\cC\\\"\q""#), ["AB\x03\\\"q"]);
        assert_eq!(words(r"a\ b \x \"), ["a b", "x", "\\"]);
    }

    #[test]
    fn braces_count_as_words_of_their_own() {
        assert_eq!(
            words("url { path / }"),
            ["url", "OPEN", "path", "/", "CLOSE"]
        );
        assert_eq!(words("global_defs{"), ["global_defs", "OPEN"]);
        assert_eq!(words("script \"{\" ${X} a}"), ["script", "{", "${X}", "a}"]);
    }

    #[test]
    fn a_quote_that_is_not_closed_is_told() {
        assert!(split("a 'b' \"c\"").1);
        assert!(!split("a \"b c").1);
        assert!(!split("admin's").1);
    }
}
