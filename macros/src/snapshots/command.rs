#[allow(deprecated)]
const _: () = {
    #[derive(
        ::recount::__private::serde::Serialize,
        ::recount::__private::serde::Deserialize,
        ::recount::__private::schemars::JsonSchema
    )]
    #[serde(crate = "::recount::__private::serde", remote = "OpenAccount")]
    #[schemars(crate = "::recount::__private::schemars")]
    #[serde(deny_unknown_fields)]
    #[allow(
        dead_code,
        non_camel_case_types,
        non_snake_case,
        clippy::all,
        clippy::pedantic
    )]
    struct __Payload {
        account: AccountId,
        #[serde(default)]
        owner: String,
    }
    #[automatically_derived]
    impl ::recount::__private::Payload for OpenAccount {
        fn serialize<__S: ::recount::__private::serde::Serializer>(
            &self,
            __serializer: __S,
        ) -> ::core::result::Result<__S::Ok, __S::Error> {
            __Payload::serialize(self, __serializer)
        }
        fn deserialize<'__de, __D: ::recount::__private::serde::Deserializer<'__de>>(
            __deserializer: __D,
        ) -> ::core::result::Result<Self, __D::Error> {
            __Payload::deserialize(__deserializer)
        }
    }
    const _: () = ::recount::__private::assert_handler::<Account, OpenAccount>();
    #[automatically_derived]
    impl ::recount::Command for OpenAccount {
        type Aggregate = Account;
        const NAME: &'static ::core::primitive::str = "open_account";
        const CREATES: ::core::primitive::bool = true;
        const FORM: ::recount::shape::Form = {
            #[allow(unused_imports)]
            use ::recount::__private::Unknown as _;
            ::recount::shape::Form::Object(
                &[
                    ::recount::shape::Field {
                        name: "account",
                        aliases: &[],
                        required: true,
                        flat: false,
                        form: ::recount::__private::Probe::<AccountId>::FORM,
                    },
                    ::recount::shape::Field {
                        name: "owner",
                        aliases: &[],
                        required: false,
                        flat: false,
                        form: ::recount::__private::Probe::<String>::FORM,
                    },
                ],
            )
        };
        fn aggregate_id(&self) -> &<Account as ::recount::Aggregate>::Id {
            &self.account
        }
        fn to_json(
            &self,
        ) -> ::core::result::Result<
            ::std::vec::Vec<::core::primitive::u8>,
            ::recount::__private::serde_json::Error,
        > {
            #[allow(unused_imports)]
            use ::recount::__private::Unknown as _;
            const __FIDELITY: ::recount::shape::Fidelity = ::recount::shape::Fidelity::all(
                &[
                    ::recount::__private::Probe::<AccountId>::FIDELITY,
                    ::recount::__private::Probe::<String>::FIDELITY,
                ],
            );
            ::recount::__private::command_to_json(self, __FIDELITY)
        }
        fn from_json(
            __json: &[::core::primitive::u8],
        ) -> ::core::result::Result<Self, ::recount::__private::serde_json::Error> {
            ::recount::__private::command_from_json(__json)
        }
        fn schema() -> ::recount::__private::schemars::Schema {
            ::recount::__private::payload_schema::<__Payload>()
        }
    }
};
