#[allow(deprecated)]
const _: () = {
    const _: () = ::recount::__private::assert_process::<Fulfilment>();
    const __NAMES: [::recount::__private::CommandNames; 2usize] = [
        ::recount::__private::command_names::<Reserve>(),
        ::recount::__private::command_names::<stock::Release>(),
    ];
    const _: () = ::core::assert!(
        ! ::recount::__private::is_repeated(& __NAMES, 1usize),
        "this command has the name of an earlier one of its aggregate: give it another with `#[command(name = \"…\")]`"
    );
    #[automatically_derived]
    impl ::recount::ProcessDefinition for Fulfilment {
        type Id = OrderId;
        type Input = Input;
        type Fact = Fact;
        type Timer = OrderTimer;
        const NAME: &'static ::core::primitive::str = "fulfilment";
        const UNKNOWN: ::recount::UnknownInstance = ::recount::UnknownInstance::Hold;
        fn commands() -> ::std::vec::Vec<::recount::ProcessCommand> {
            ::std::vec::Vec::from([
                ::recount::ProcessCommand::of::<_, Reserve>(),
                ::recount::ProcessCommand::of::<_, stock::Release>(),
            ])
        }
    }
    #[automatically_derived]
    impl ::recount::Sends<Reserve> for Fulfilment {}
    #[automatically_derived]
    impl ::recount::Sends<stock::Release> for Fulfilment {}
};
