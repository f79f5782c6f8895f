//! Reads a shell line far enough to know which programs it would start and what it touches.
//!
//! Only what is certain passes: a word that the shell would work out first, a here-document, a
//! job in the background or a file of `/proc` or `/sys` that is not a knob is a reason to leave
//! the line alone.

use super::sandbox::TOOLS;

/// What the shell does itself and what the player answers for, beside [`TOOLS`].
const KNOWN: [&str; 23] = [
    ":",
    "break",
    "cd",
    "continue",
    "exit",
    "export",
    "read",
    "return",
    "set",
    "shift",
    "unset",
    "wait",
    "ipvsadm",
    "ipvsadm-save",
    "ipvsadm-restore",
    "ip",
    "tc",
    "sysctl",
    "sleep",
    "echo",
    "printf",
    "test",
    "[",
];

/// Words after which a command follows.
const OPENING: [&str; 9] = [
    "if", "then", "else", "elif", "while", "until", "do", "!", "{",
];

/// Words that end something, so that no command follows.
const CLOSING: [&str; 3] = ["fi", "done", "}"];

/// Why the line is not for us; `None` when all of it is understood.
pub(super) fn objection(line: &str) -> Option<String> {
    let mut reader = Reader {
        rest: line,
        expects: Expects::Command,
    };
    std::iter::from_fn(|| reader.step()).find_map(Result::err)
}

/// What the next word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Command,
    Argument,
    File,
    /// The words of a `for`, up to the end of its line.
    List,
}

struct Reader<'a> {
    rest: &'a str,
    expects: Expects,
}

impl Reader<'_> {
    /// Reads one word or operator; `None` at the end.
    fn step(&mut self) -> Option<Result<(), String>> {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
        let first = self.rest.chars().next()?;
        if first == '#' {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.rest = &self.rest[end..];
            return Some(Ok(()));
        }
        Some(if is_operator(first) {
            self.operator()
        } else {
            self.word()
        })
    }

    fn operator(&mut self) -> Result<(), String> {
        let known = [
            "&&", "||", ">>", ">&", "<<", "<&", "|", ";", "\n", "(", ")", ">", "<", "&",
        ];
        let found = known.iter().find(|known| self.rest.starts_with(**known));
        let operator = found.copied().unwrap_or("&");
        self.rest = &self.rest[operator.len()..];
        self.expects = match operator {
            "<<" => return Err("a here-document".to_owned()),
            "&" => return Err("a job in the background".to_owned()),
            ">" | ">>" | "<" | ">&" | "<&" => Expects::File,
            ")" => Expects::Argument,
            _ => Expects::Command,
        };
        Ok(())
    }

    fn word(&mut self) -> Result<(), String> {
        let word = self.take_word()?;
        if self.expects != Expects::File && touches_the_system(&word) {
            return Err(format!("the file {word}"));
        }
        match self.expects {
            Expects::Argument | Expects::List => {}
            Expects::File => {
                self.expects = Expects::Argument;
                check_file(&word)?;
            }
            Expects::Command => self.command(&word)?,
        }
        Ok(())
    }

    fn command(&mut self, word: &str) -> Result<(), String> {
        // `2>file` begins with a number that is no command.
        let is_descriptor = word.bytes().all(|byte| byte.is_ascii_digit());
        if is_descriptor && self.rest.starts_with(['<', '>']) {
            return Ok(());
        }
        if OPENING.contains(&word) || is_assignment(word) {
            return Ok(());
        }
        self.expects = match word {
            "for" => Expects::List,
            _ => Expects::Argument,
        };
        let is_known = KNOWN.contains(&word) || TOOLS.contains(&word) || CLOSING.contains(&word);
        if is_known || word == "for" {
            Ok(())
        } else {
            Err(format!("the command `{word}`"))
        }
    }

    /// Takes a word without its quotes, reading what stands in `$( )` as a line of its own.
    fn take_word(&mut self) -> Result<String, String> {
        let mut word = String::new();
        let mut quote = None;
        while let Some(next) = self.rest.chars().next() {
            if quote.is_none() && (next.is_whitespace() || is_operator(next)) {
                break;
            }
            if quote != Some('\'') && self.rest.starts_with("$(") {
                self.substitution()?;
                word.push('$');
                continue;
            }
            self.rest = &self.rest[next.len_utf8()..];
            match next {
                '`' if quote != Some('\'') => return Err("a command in backquotes".to_owned()),
                '\\' if quote != Some('\'') => {
                    let escaped = self.rest.chars().next().unwrap_or('\\');
                    self.rest = self.rest.get(escaped.len_utf8()..).unwrap_or_default();
                    word.push(escaped);
                }
                '\'' | '"' if quote == Some(next) => quote = None,
                '\'' | '"' if quote.is_none() => quote = Some(next),
                other => word.push(other),
            }
        }
        match quote {
            Some(_) => Err("a quote that does not end".to_owned()),
            None => Ok(word),
        }
    }

    /// Takes `$( … )`, which must be understood too.
    fn substitution(&mut self) -> Result<(), String> {
        let inner = &self.rest[2..];
        let mut depth = 1;
        let end = inner.find(|next| {
            depth += i32::from(next == '(') - i32::from(next == ')');
            depth == 0
        });
        let end = end.ok_or("a bracket that does not end")?;
        self.rest = &inner[end + 1..];
        // `$(( … ))` only counts.
        if inner.starts_with('(') {
            return Ok(());
        }
        objection(&inner[..end]).map_or(Ok(()), Err)
    }
}

const fn is_operator(character: char) -> bool {
    matches!(character, '&' | '|' | ';' | '<' | '>' | '(' | ')' | '\n')
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'_')
    })
}

/// Whether a word names what belongs to Linux and is not in the gateway's hands.
fn touches_the_system(word: &str) -> bool {
    let is_knob = word.starts_with("/proc/sys/net/ipv4/vs");
    !is_knob
        && ["/proc/", "/sys/", "/dev/tcp", "/dev/udp"]
            .iter()
            .any(|it| word.contains(it))
}

/// Whether a file may be written to or read.
fn check_file(word: &str) -> Result<(), String> {
    if touches_the_system(word) || word.contains('$') {
        Err(format!("the file {word}"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_known_programs_are_understood() {
        for line in [
            "ipvsadm -Ln",
            "ip link set eth1 mtu 1400; ip -s link",
            "echo 1 > /proc/sys/net/ipv4/vs/expire_nodest_conn",
            "cat /proc/sys/net/ipv4/vs/conn_reuse_mode 2>/dev/null || true",
            "for i in 1 2 3; do ipvsadm -e -t 10.1.0.100:80 -r 10.2.0.11:80 -w $i; done",
            "if ipvsadm -Ln | grep -q 'TCP  10.1.0.100:80'; then echo \"yes & no\"; fi",
            "W=3 ipvsadm -a -t 10.1.0.100:80 -r 10.2.0.1$(seq 1 1):80 -w $((W + 1))",
            "{ sleep 1; } && ! false # iptables is not called",
        ] {
            assert_eq!(objection(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, why) in [
            (
                "iptables -t mangle -A PREROUTING -j MARK",
                "the command `iptables`",
            ),
            ("ipvsadm -Ln | nft -f -", "the command `nft`"),
            ("echo $(conntrack -L)", "the command `conntrack`"),
            ("\"$tool\" -L", "the command `$tool`"),
            ("nc -l 80 &", "the command `nc`"),
            ("sleep 5 &", "a job in the background"),
            ("cat /proc/net/ip_vs", "the file /proc/net/ip_vs"),
            (
                "echo 0 > /proc/sys/net/ipv4/ip_forward",
                "the file /proc/sys/net/ipv4/ip_forward",
            ),
            ("ipvsadm -R <<E", "a here-document"),
            ("echo `id`", "a command in backquotes"),
            ("echo 'never", "a quote that does not end"),
            ("case x in x) ipvsadm -C;; esac", "the command `case`"),
        ] {
            assert_eq!(objection(line).as_deref(), Some(why), "{line}");
        }
    }
}
