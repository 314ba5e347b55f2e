//! Builds a tree from tokens.

use super::tree::Tree;
use super::{Token, TokenSink};

/// Builds the tree from its tokens.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) root: Option<Tree>,
    open: Vec<Open>,
}

enum Open {
    Around(&'static str),
    Variant(&'static str),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>, Option<Tree>),
    Struct(&'static str, Vec<(&'static str, Tree)>, Option<&'static str>),
}

impl Builder {
    fn complete(&mut self, mut tree: Tree) {
        loop {
            match self.open.pop() {
                None => {
                    self.root = Some(tree);
                    return;
                }
                Some(Open::Around(name)) => {
                    tree = Tree::Around(name, Box::new(tree));
                    continue;
                }
                Some(Open::Variant(name)) => {
                    tree = Tree::Variant(name, Box::new(tree));
                    continue;
                }
                Some(Open::List(mut all)) => {
                    all.push(tree);
                    self.open.push(Open::List(all));
                }
                Some(Open::Map(all, None)) => self.open.push(Open::Map(all, Some(tree))),
                Some(Open::Map(mut all, Some(key))) => {
                    all.push((key, tree));
                    self.open.push(Open::Map(all, None));
                }
                Some(Open::Struct(name, mut all, field)) => {
                    all.push((field.unwrap_or_default(), tree));
                    self.open.push(Open::Struct(name, all, None));
                }
            }
            return;
        }
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::List(all)) => self.complete(Tree::List(all)),
            Some(Open::Map(all, _)) => self.complete(Tree::Map(all)),
            Some(Open::Struct(name, all, _)) => self.complete(Tree::Struct(name, all)),
            Some(Open::Around(_) | Open::Variant(_)) | None => {}
        }
    }
}

impl TokenSink for Builder {
    fn token(&mut self, token: Token<'_>) {
        match token {
            Token::Some => self.open.push(Open::Around("Some")),
            Token::Newtype(name) => self.open.push(Open::Around(name)),
            Token::Variant(name) => self.open.push(Open::Variant(name)),
            Token::Seq | Token::Tuple => self.open.push(Open::List(Vec::new())),
            Token::Map => self.open.push(Open::Map(Vec::new(), None)),
            Token::Struct(name) => self.open.push(Open::Struct(name, Vec::new(), None)),
            Token::Field(name) => {
                if let Some(Open::Struct(_, _, field)) = self.open.last_mut() {
                    *field = Some(name);
                }
            }
            Token::End => self.close(),
            leaf => {
                let mut bytes = Vec::new();
                bytes.token(leaf);
                self.complete(Tree::Leaf { token: bytes, shown: shown(leaf) });
            }
        }
    }
}

fn shown(token: Token<'_>) -> String {
    match token {
        Token::Bool(value) => value.to_string(),
        Token::Signed(value, bits) => format!("{value}_i{bits}"),
        Token::Unsigned(value, bits) => format!("{value}_u{bits}"),
        Token::Float(value, _) if !value.is_finite() => value.to_string(),
        Token::Float(value, bits) => format!("{value}_f{bits}"),
        Token::Char(_) => "a char".to_owned(),
        Token::Bytes(_) => "bytes".to_owned(),
        Token::None => "None".to_owned(),
        Token::Unit => "()".to_owned(),
        Token::UnitStruct(name) | Token::UnitVariant(name) => name.to_owned(),
        _ => "text".to_owned(),
    }
}
