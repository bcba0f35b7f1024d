//! Rust source without its comments and literals, so that a rule about code does not stumble over
//! prose about code. Not a parser: it knows just enough to tell where those begin and end.

/// `text` with every comment, string and character literal replaced by blanks. Line numbers stay.
pub fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hidden_bytes = comment_bytes(rest)
            .or_else(|| string_bytes(rest))
            .or_else(|| char_bytes(rest))
            .unwrap_or(0);
        if hidden_bytes > 0 {
            let hidden = rest[..hidden_bytes].chars();
            code.extend(hidden.map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[hidden_bytes..];
            continue;
        }
        // Words are taken whole, or the `r` at the end of `br` or `for` would open a raw string.
        let shown_bytes = word_bytes(rest).max(first.len_utf8());
        code.push_str(&rest[..shown_bytes]);
        rest = &rest[shown_bytes..];
    }
    code
}

/// The words of `code` with their line numbers, from 1.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = code.lines().zip(1..);
    numbered.flat_map(|(line, number)| {
        line.split(|c: char| !is_word(c))
            .filter(|word| !word.is_empty())
            .map(move |word| (number, word))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word_bytes(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

fn comment_bytes(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.starts_with("/*").then(|| block_comment_bytes(text))
}

/// Block comments nest.
fn block_comment_bytes(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text.as_bytes()[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text.as_bytes()[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// Plain strings with escapes, and raw ones: `r"…"`, `br#"…"#`, `cr"…"`.
fn string_bytes(text: &str) -> Option<usize> {
    if let Some(body) = text.strip_prefix('"') {
        return Some(1 + end_of_quoted(body, '"'));
    }
    let prefix = ["br", "cr", "r"]
        .into_iter()
        .find(|prefix| text.starts_with(prefix))?;
    let hashes = text[prefix.len()..]
        .chars()
        .take_while(|&c| c == '#')
        .count();
    let body = text[prefix.len() + hashes..].strip_prefix('"')?;
    let terminator = format!("\"{}", "#".repeat(hashes));
    let body_bytes = body
        .find(&terminator)
        .map_or(body.len(), |at| at + terminator.len());
    Some(text.len() - body.len() + body_bytes)
}

/// A character literal; `None` for a lifetime, which starts alike.
fn char_bytes(text: &str) -> Option<usize> {
    let body = text.strip_prefix('\'')?;
    let first = body.chars().next()?;
    let is_literal = first == '\\' || body[first.len_utf8()..].starts_with('\'');
    is_literal.then(|| 1 + end_of_quoted(body, '\''))
}

/// How many bytes up to and with the closing quote, minding escapes.
fn end_of_quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if !escaped && c == quote {
            return at + c.len_utf8();
        }
        escaped = !escaped && c == '\\';
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_of(text: &str) -> Vec<String> {
        let code = code_only(text);
        words(&code).map(|(_, word)| word.to_owned()).collect()
    }

    #[test]
    fn comments_are_no_code() {
        let text = "a // unsafe\nb /* unsafe /* nested */ unsafe */ c /// unsafe\n//! unsafe";
        assert_eq!(words_of(text), ["a", "b", "c"]);
    }

    #[test]
    fn literals_are_no_code() {
        assert_eq!(words_of(r#"a("unsafe \" unsafe", b) c"#), ["a", "b", "c"]);
        assert_eq!(words_of("a(r#\"un\"safe\"#, br\"unsafe\\\") b"), ["a", "b"]);
        assert_eq!(
            words_of(r"a('x', '\'', '\u{41}', b) '\\' c"),
            ["a", "b", "c"]
        );
    }

    #[test]
    fn lifetimes_and_prefix_letters_hide_nothing() {
        assert_eq!(
            words_of("fn f<'a>(x: &'a u8) unsafe"),
            ["fn", "f", "a", "x", "a", "u8", "unsafe"]
        );
        assert_eq!(
            words_of("for r in br { r#unsafe }"),
            ["for", "r", "in", "br", "r", "unsafe"]
        );
    }

    #[test]
    fn line_numbers_stay() {
        let code = code_only("/* one\ntwo */\nlet s = \"a\nb\"; unsafe");
        assert!(words(&code).any(|found| found == (4, "unsafe")));
    }

    #[test]
    fn unfinished_text_ends_the_scan() {
        for text in ["\"open", "/* open", "r#\"open", "'\\", "'"] {
            assert_eq!(code_only(text).len(), text.len(), "{text}");
        }
    }
}
