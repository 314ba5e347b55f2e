#[allow(deprecated)]
const _: () = {
    #[allow(unused_imports)]
    use ::recount::__private::Unknown as _;
    #[automatically_derived]
    impl<T: ::recount::Shape> ::recount::Shape for Paid<T> {
        const FORM: ::recount::shape::Form = ::recount::shape::Form::Choice(
            ::recount::shape::Tagging::Internal("by"),
            &[
                ::recount::shape::Choice {
                    name: "cash",
                    aliases: &[],
                    form: ::recount::shape::Form::Unit,
                },
                ::recount::shape::Choice {
                    name: "card",
                    aliases: &["credit_card"],
                    form: ::recount::shape::Form::Object(
                        &[
                            ::recount::shape::Field {
                                name: "number",
                                aliases: &[],
                                required: true,
                                flat: false,
                                form: ::recount::__private::Probe::<String>::FORM,
                            },
                            ::recount::shape::Field {
                                name: "of",
                                aliases: &[],
                                required: false,
                                flat: false,
                                form: ::recount::shape::Form::Opaque,
                            },
                            ::recount::shape::Field {
                                name: "extra",
                                aliases: &[],
                                required: true,
                                flat: false,
                                form: ::recount::__private::Probe::<T>::FORM,
                            },
                        ],
                    ),
                },
            ],
        );
        const FIDELITY: ::recount::shape::Fidelity = ::recount::shape::Fidelity::Unknown;
    }
};
