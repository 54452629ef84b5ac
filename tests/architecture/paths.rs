//! Finds the paths from the crate's root in a source text. Knows as much of the language as that takes.

/// A path such as `crate::image::{Image, Status}`, once for each leaf, without the `crate`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Step,
    /// Anything else but white space, comments and literals.
    Sign(char),
}

/// The tokens of a file, without comments, literals and what only tests compile.
pub(super) struct Source {
    tokens: Vec<(Token, usize)>,
    test_modules: Vec<String>,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let all = tokens(text);
        let mut source = Self {
            tokens: Vec::new(),
            test_modules: Vec::new(),
        };
        let mut at = 0;
        while at < all.len() {
            if is_test_attribute(&all[at..]) {
                at += 7;
                let end = at + item_length(&all[at..]);
                source.test_modules.extend(declared_module(&all[at..end]));
                at = end;
            } else {
                source.tokens.push(all[at].clone());
                at += 1;
            }
        }
        source
    }

    /// Names of `#[cfg(test)] mod name;`.
    pub(super) fn test_modules(&self) -> Vec<&str> {
        self.test_modules.iter().map(String::as_str).collect()
    }

    /// Paths that begin with `root` (`crate`, or for a program the library's name), or with so many `super` that they lead out of a module
    /// `depth` levels below the root.
    pub(super) fn mentions(&self, root: &str, depth: usize) -> Vec<Mention> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some((token, _)) = self.tokens.get(at) {
            let is_inside_path = at > 0 && self.tokens[at - 1].0 == Token::Step;
            let start = match token {
                _ if is_inside_path => None,
                Token::Word(word) if word == root => Some(at + 1),
                Token::Word(word) if word == "super" => self.leaves_the_module(at, depth),
                _ => None,
            };
            at += 1;
            if let Some(start) = start
                && self.is(start, &Token::Step)
            {
                self.collect(start + 1, &mut Vec::new(), &mut found);
            }
        }
        found
    }

    fn is(&self, at: usize, token: &Token) -> bool {
        self.tokens.get(at).is_some_and(|(found, _)| found == token)
    }

    /// Behind the last `super`, if there are at least `depth` of them.
    fn leaves_the_module(&self, mut at: usize, depth: usize) -> Option<usize> {
        let up = Token::Word("super".to_owned());
        let mut count = 1;
        while self.is(at + 1, &Token::Step) && self.is(at + 2, &up) {
            at += 2;
            count += 1;
        }
        (count >= depth).then_some(at + 1)
    }

    /// The leaves of the path or group at `at`; returns the place behind it.
    fn collect(&self, mut at: usize, prefix: &mut Vec<String>, found: &mut Vec<Mention>) -> usize {
        let kept = prefix.len();
        loop {
            match self.tokens.get(at) {
                Some((Token::Word(word), line)) => {
                    prefix.push(word.clone());
                    at += 1;
                    if self.is(at, &Token::Step) {
                        at += 1;
                        continue;
                    }
                    let path = prefix.clone();
                    found.push(Mention { path, line: *line });
                    break;
                }
                Some((Token::Sign('{'), _)) => {
                    at += 1;
                    while at < self.tokens.len() && !self.is(at, &Token::Sign('}')) {
                        at = self.collect(at, prefix, found);
                        // ` as name`, and the comma.
                        while at < self.tokens.len()
                            && !self.is(at, &Token::Sign(','))
                            && !self.is(at, &Token::Sign('}'))
                        {
                            at += 1;
                        }
                        if self.is(at, &Token::Sign(',')) {
                            at += 1;
                        }
                    }
                    at += 1;
                    break;
                }
                // `*`, or generics behind `::<`: what stands before it is named.
                Some((_, line)) => {
                    let path = prefix.clone();
                    found.push(Mention { path, line: *line });
                    at += 1;
                    break;
                }
                None => break,
            }
        }
        prefix.truncate(kept);
        at
    }
}

/// `#[cfg(test)]`
fn is_test_attribute(tokens: &[(Token, usize)]) -> bool {
    let wanted = [
        Token::Sign('#'),
        Token::Sign('['),
        Token::Word("cfg".to_owned()),
        Token::Sign('('),
        Token::Word("test".to_owned()),
        Token::Sign(')'),
        Token::Sign(']'),
    ];
    tokens.len() >= wanted.len()
        && tokens
            .iter()
            .zip(&wanted)
            .all(|((token, _), wanted)| token == wanted)
}

/// Up to the item's `;` or closing brace.
fn item_length(tokens: &[(Token, usize)]) -> usize {
    let mut depth = 0_usize;
    // `use a::{b, c};` ends with its semicolon, everything else with its brace.
    let is_use = tokens
        .iter()
        .take_while(|(token, _)| *token != Token::Sign('{'))
        .any(|(token, _)| *token == Token::Word("use".to_owned()));
    for (at, (token, _)) in tokens.iter().enumerate() {
        match token {
            Token::Sign('{' | '(' | '[') => depth += 1,
            Token::Sign(sign @ ('}' | ')' | ']')) => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *sign == '}' && !is_use {
                    return at + 1;
                }
            }
            Token::Sign(';' | ',') if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// `mod name;`, with or without a visibility.
fn declared_module(item: &[(Token, usize)]) -> Option<String> {
    match item {
        [
            ..,
            (Token::Word(word), _),
            (Token::Word(name), _),
            (Token::Sign(';'), _),
        ] if word == "mod" => Some(name.clone()),
        _ => None,
    }
}

fn tokens(text: &str) -> Vec<(Token, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut found = Vec::new();
    let (mut index, mut line) = (0, 1);
    while index < chars.len() {
        let begin = index;
        match at(index) {
            '/' if at(index + 1) == '/' => {
                while index < chars.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            '/' if at(index + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(index), at(index + 1)) {
                        ('/', '*') => (depth, index) = (depth + 1, index + 2),
                        ('*', '/') => (depth, index) = (depth - 1, index + 2),
                        _ => index += 1,
                    }
                    if depth == 0 || index >= chars.len() {
                        break;
                    }
                }
            }
            '"' => index = string_end(&chars, index),
            '\'' if at(index + 1) == '\\' => {
                index += 3;
                while index < chars.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            '\'' if at(index + 2) == '\'' => index += 3,
            ':' if at(index + 1) == ':' => {
                found.push((Token::Step, line));
                index += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                while at(index).is_alphanumeric() || at(index) == '_' {
                    index += 1;
                }
                let word: String = chars[begin..index].iter().collect();
                let mut quote = index;
                while at(quote) == '#' {
                    quote += 1;
                }
                let is_raw = matches!(word.as_str(), "r" | "br" | "cr") && at(quote) == '"';
                if is_raw {
                    let fence = quote - index;
                    index = quote + 1;
                    while index < chars.len()
                        && !(at(index) == '"' && (1..=fence).all(|offset| at(index + offset) == '#'))
                    {
                        index += 1;
                    }
                    index += 1 + fence;
                } else {
                    found.push((Token::Word(word), line));
                }
            }
            c => {
                if !c.is_whitespace() {
                    found.push((Token::Sign(c), line));
                }
                index += 1;
            }
        }
        line += chars
            .iter()
            .take(index)
            .skip(begin)
            .filter(|c| **c == '\n')
            .count();
    }
    found
}

/// Behind the closing quote of the string that begins at `index`.
fn string_end(chars: &[char], mut index: usize) -> usize {
    index += 1;
    while let Some(c) = chars.get(index) {
        match c {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    index
}
