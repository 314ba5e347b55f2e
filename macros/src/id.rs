//! `#[derive(Id)]`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Type};

use crate::args::Args;
use crate::errors::Errors;
use crate::names::{CRATE, ID};
use crate::shape::{at, krate, only_type, refuse_generics};

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    refuse_generics(input, "an id", &mut errors);
    let mut args = Args::new(ID, &input.attrs, &mut errors);
    let krate = krate(&mut args, &mut errors);
    args.refuse_rest("an id", &[CRATE], &mut errors);
    let inner = match &input.data {
        Data::Struct(data) => only_type(&data.fields),
        _ => None,
    };
    let ident = &input.ident;
    if inner.is_none() {
        errors.at(ident, format!("an id is a struct around one value: write `struct {ident}(String);`"));
    }
    match inner {
        Some(inner) if errors.is_empty() => expand(&krate, ident, inner),
        _ => errors.into_tokens(),
    }
}

fn expand(krate: &TokenStream, ident: &Ident, inner: &Type) -> TokenStream {
    let private = quote!(#krate::__private);
    // The inner type must have each trait: a missing one is reported there.
    let display = quote_spanned!(at(inner.span())=> <#inner as ::core::fmt::Display>::fmt(&self.0, __formatter));
    let parse_error = quote_spanned!(at(inner.span())=> type Err = <#inner as ::core::str::FromStr>::Err;);
    let parse = quote_spanned!(at(inner.span())=> <#inner as ::core::str::FromStr>::from_str(__text));
    let serialize =
        quote_spanned!(at(inner.span())=> <#inner as #private::serde::Serialize>::serialize(&self.0, __serializer));
    let deserialize =
        quote_spanned!(at(inner.span())=> <#inner as #private::serde::Deserialize<'__de>>::deserialize(__deserializer));
    let schema =
        quote_spanned!(at(inner.span())=> <#inner as #private::schemars::JsonSchema>::json_schema(__generator));
    let name = ident.to_string();
    let scope = crate::form::scope(krate);
    let form = quote!(#private::Probe::<#inner>::FORM);
    let fidelity = quote!(#private::Probe::<#inner>::FIDELITY);
    quote! {
        #[allow(deprecated)]
        const _: () = {
            #scope
            #[automatically_derived]
            impl ::core::fmt::Display for #ident {
                fn fmt(&self, __formatter: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                    #display
                }
            }

            #[automatically_derived]
            impl ::core::str::FromStr for #ident {
                #parse_error
                fn from_str(__text: &::core::primitive::str) -> ::core::result::Result<Self, Self::Err> {
                    ::core::result::Result::map(#parse, Self)
                }
            }

            #[automatically_derived]
            impl ::core::convert::From<#inner> for #ident {
                fn from(__value: #inner) -> Self {
                    Self(__value)
                }
            }

            #[automatically_derived]
            impl #private::serde::Serialize for #ident {
                fn serialize<__S: #private::serde::Serializer>(
                    &self,
                    __serializer: __S,
                ) -> ::core::result::Result<__S::Ok, __S::Error> {
                    #serialize
                }
            }

            #[automatically_derived]
            impl<'__de> #private::serde::Deserialize<'__de> for #ident {
                fn deserialize<__D: #private::serde::Deserializer<'__de>>(
                    __deserializer: __D,
                ) -> ::core::result::Result<Self, __D::Error> {
                    ::core::result::Result::map(#deserialize, Self)
                }
            }

            #[automatically_derived]
            impl #private::schemars::JsonSchema for #ident {
                fn inline_schema() -> ::core::primitive::bool {
                    true
                }
                fn schema_name() -> ::std::borrow::Cow<'static, ::core::primitive::str> {
                    ::std::borrow::Cow::Borrowed(#name)
                }
                fn schema_id() -> ::std::borrow::Cow<'static, ::core::primitive::str> {
                    ::std::borrow::Cow::Borrowed(::core::concat!(::core::module_path!(), "::", #name))
                }
                fn json_schema(__generator: &mut #private::schemars::SchemaGenerator) -> #private::schemars::Schema {
                    #schema
                }
            }

            #[automatically_derived]
            impl #krate::Shape for #ident {
                const FORM: #krate::shape::Form = #form;
                const FIDELITY: #krate::shape::Fidelity = #fidelity;
            }

            #[automatically_derived]
            impl #krate::ToTags for #ident {
                fn tags(
                    &self,
                    __key: &::core::primitive::str,
                    __tags: &mut ::std::vec::Vec<#krate::Tag>,
                ) -> ::core::result::Result<(), #krate::NameError> {
                    #private::push_tag(__key, self, __tags)
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use crate::testing::{expanded, mistakes};

    #[test]
    fn what_it_becomes() {
        expect_file!["snapshots/id.rs"].assert_eq(&expanded(super::derive, "pub struct AccountId(String);"));
    }

    #[test]
    fn only_newtypes_are_ids() {
        for bad in ["struct A;", "struct A { a: String }", "struct A(u8, u8);", "enum A { B(u8) }", "struct A<T>(T);"] {
            assert_eq!(mistakes(super::derive, bad).len(), 1, "{bad}");
        }
    }
}
