#[allow(deprecated)]
const _: () = {
    #[allow(unused_imports)]
    use ::recount::__private::Unknown as _;
    #[automatically_derived]
    impl ::core::fmt::Display for AccountId {
        fn fmt(
            &self,
            __formatter: &mut ::core::fmt::Formatter<'_>,
        ) -> ::core::fmt::Result {
            <String as ::core::fmt::Display>::fmt(&self.0, __formatter)
        }
    }
    #[automatically_derived]
    impl ::core::str::FromStr for AccountId {
        type Err = <String as ::core::str::FromStr>::Err;
        fn from_str(
            __text: &::core::primitive::str,
        ) -> ::core::result::Result<Self, Self::Err> {
            ::core::result::Result::map(
                <String as ::core::str::FromStr>::from_str(__text),
                Self,
            )
        }
    }
    #[automatically_derived]
    impl ::core::convert::From<String> for AccountId {
        fn from(__value: String) -> Self {
            Self(__value)
        }
    }
    #[automatically_derived]
    impl ::recount::__private::serde::Serialize for AccountId {
        fn serialize<__S: ::recount::__private::serde::Serializer>(
            &self,
            __serializer: __S,
        ) -> ::core::result::Result<__S::Ok, __S::Error> {
            <String as ::recount::__private::serde::Serialize>::serialize(
                &self.0,
                __serializer,
            )
        }
    }
    #[automatically_derived]
    impl<'__de> ::recount::__private::serde::Deserialize<'__de> for AccountId {
        fn deserialize<__D: ::recount::__private::serde::Deserializer<'__de>>(
            __deserializer: __D,
        ) -> ::core::result::Result<Self, __D::Error> {
            ::core::result::Result::map(
                <String as ::recount::__private::serde::Deserialize<
                    '__de,
                >>::deserialize(__deserializer),
                Self,
            )
        }
    }
    #[automatically_derived]
    impl ::recount::__private::schemars::JsonSchema for AccountId {
        fn inline_schema() -> ::core::primitive::bool {
            true
        }
        fn schema_name() -> ::std::borrow::Cow<'static, ::core::primitive::str> {
            ::std::borrow::Cow::Borrowed("AccountId")
        }
        fn schema_id() -> ::std::borrow::Cow<'static, ::core::primitive::str> {
            ::std::borrow::Cow::Borrowed(
                ::core::concat!(::core::module_path!(), "::", "AccountId"),
            )
        }
        fn json_schema(
            __generator: &mut ::recount::__private::schemars::SchemaGenerator,
        ) -> ::recount::__private::schemars::Schema {
            <String as ::recount::__private::schemars::JsonSchema>::json_schema(
                __generator,
            )
        }
    }
    #[automatically_derived]
    impl ::recount::Shape for AccountId {
        const FORM: ::recount::shape::Form = ::recount::__private::Probe::<String>::FORM;
        const FIDELITY: ::recount::shape::Fidelity = ::recount::__private::Probe::<
            String,
        >::FIDELITY;
    }
    #[automatically_derived]
    impl ::recount::ToTags for AccountId {
        fn tags(
            &self,
            __key: &::core::primitive::str,
            __tags: &mut ::std::vec::Vec<::recount::Tag>,
        ) -> ::core::result::Result<(), ::recount::NameError> {
            ::recount::__private::push_tag(__key, self, __tags)
        }
    }
};
