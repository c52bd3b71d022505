//! How long files and functions may be.

use std::path::Path;

use anyhow::{Context, Result};
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::crates::Workspace;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

/// Every file and every function that is too long.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for file in workspace.rust_files() {
        broken.extend(check_file(file, &workspace.read(file)?)?);
    }
    Ok(broken)
}

fn check_file(file: &Path, text: &str) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES {
        broken.push(format!("{} has {lines} lines", file.display()));
    }
    let syntax = syn::parse_file(text).with_context(|| format!("{} is no Rust", file.display()))?;
    let mut functions = Functions::default();
    // A test may tell a long story in one piece.
    if !file.components().any(|part| part.as_os_str() == "tests") {
        functions.visit_file(&syntax);
    }
    for (name, lines) in functions.too_long {
        broken.push(format!("{}: {name} has {lines} lines", file.display()));
    }
    Ok(broken)
}

#[derive(Default)]
struct Functions {
    too_long: Vec<(String, usize)>,
}

impl Functions {
    fn measure(&mut self, name: &syn::Ident, whole: Span) {
        let lines = whole.end().line - whole.start().line + 1;
        if lines > FUNCTION_LINES {
            self.too_long.push((name.to_string(), lines));
        }
    }
}

/// The span from the signature to the closing brace: documentation does not count.
fn from_signature(signature: &syn::Signature, block: &syn::Block) -> Span {
    let start = signature.fn_token.span;
    start
        .join(block.brace_token.span.close())
        .unwrap_or_else(|| block.span())
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(
            &function.sig.ident,
            from_signature(&function.sig, &function.block),
        );
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(
            &function.sig.ident,
            from_signature(&function.sig, &function.block),
        );
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig.ident, from_signature(&function.sig, block));
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn function(lines: usize) -> String {
        format!(
            "impl X {{\n/// Text.\nfn long() {{\n{}}}\n}}\n",
            "f();\n".repeat(lines - 2)
        )
    }

    #[test]
    fn a_function_of_seventy_lines_passes_and_one_more_does_not() {
        let file = Path::new("x.rs");
        assert!(check_file(file, &function(70)).unwrap().is_empty());
        assert_eq!(
            check_file(file, &function(71)).unwrap(),
            ["x.rs: long has 71 lines"]
        );
        let test = Path::new("crates/x/tests/y.rs");
        assert!(check_file(test, &function(71)).unwrap().is_empty());
    }

    #[test]
    fn a_file_of_five_hundred_lines_passes_and_one_more_does_not() {
        let file = Path::new("x.rs");
        assert!(check_file(file, &"\n".repeat(500)).unwrap().is_empty());
        assert_eq!(
            check_file(file, &"\n".repeat(501)).unwrap(),
            ["x.rs has 501 lines"]
        );
    }
}
