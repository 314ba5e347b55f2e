//! Helpers that the unit tests share.

use proc_macro2::TokenStream;
use syn::visit::Visit;
use syn::{DeriveInput, LitStr};

type Derive = fn(&DeriveInput) -> TokenStream;

fn parsed(derive: Derive, input: &str) -> syn::File {
    let input = syn::parse_str(input).unwrap();
    syn::parse2(derive(&input)).unwrap()
}

/// The expansion, formatted; it must hold no mistakes.
pub(crate) fn expanded(derive: Derive, input: &str) -> String {
    assert_eq!(mistakes(derive, input), Vec::<String>::new());
    prettyplease::unparse(&parsed(derive, input))
}

/// The messages of all mistakes.
pub(crate) fn mistakes(derive: Derive, input: &str) -> Vec<String> {
    struct Messages(Vec<String>);
    impl Visit<'_> for Messages {
        fn visit_macro(&mut self, found: &syn::Macro) {
            if found.path.segments.last().unwrap().ident == "compile_error" {
                self.0.push(found.parse_body::<LitStr>().unwrap().value());
            }
        }
    }
    let mut messages = Messages(Vec::new());
    messages.visit_file(&parsed(derive, input));
    messages.0
}
