#[allow(deprecated)]
const _: () = {
    const __PARTS: [::recount::__private::Part; 2usize] = [
        ::recount::__private::Part {
            name: "Account",
            listed: <AccountEvent as ::recount::Event>::LISTED,
            only: ::core::option::Option::None,
        },
        ::recount::__private::Part {
            name: "Order",
            listed: <orders::OrderEvent as ::recount::Event>::LISTED,
            only: ::core::option::Option::Some(&["Placed", "Paid"]),
        },
    ];
    const __LISTED: [::recount::__private::Listed; ::recount::__private::count(
        &__PARTS,
    )] = ::recount::__private::join(&__PARTS);
    #[allow(clippy::unneeded_struct_pattern)]
    const _: () = {
        let _ = |__event: &orders::OrderEvent| {
            ::core::matches!(__event, orders::OrderEvent::Placed { .. })
        };
        ::core::assert!(
            ::recount::__private::contains(< orders::OrderEvent as ::recount::Event >
            ::LISTED, "Placed"),
            "`only(Placed)` needs an event type that derives `Event`"
        );
    };
    #[allow(clippy::unneeded_struct_pattern)]
    const _: () = {
        let _ = |__event: &orders::OrderEvent| {
            ::core::matches!(__event, orders::OrderEvent::Paid { .. })
        };
        ::core::assert!(
            ::recount::__private::contains(< orders::OrderEvent as ::recount::Event >
            ::LISTED, "Paid"), "`only(Paid)` needs an event type that derives `Event`"
        );
    };
    const _: () = ::core::assert!(
        ! ::recount::__private::overlaps(& __PARTS, 1usize),
        "`Order` reads an event that an earlier variant of this union reads too: leave it out with `only(…)`"
    );
    #[automatically_derived]
    impl ::recount::Event for Heard {
        const LISTED: ::core::option::Option<&'static [::recount::__private::Listed]> = ::recount::__private::listed(
            &__PARTS,
            &__LISTED,
        );
        #[inline]
        fn variants() -> ::std::vec::Vec<::recount::EventVariant> {
            let mut __variants = ::std::vec::Vec::new();
            ::recount::__private::add_variants::<
                AccountEvent,
            >(::core::option::Option::None, &mut __variants);
            ::recount::__private::add_variants::<
                orders::OrderEvent,
            >(::core::option::Option::Some(&["Placed", "Paid"]), &mut __variants);
            __variants
        }
        #[inline]
        fn encode(
            &self,
        ) -> ::core::result::Result<::recount::EventData, ::recount::EncodeError> {
            match self {
                Self::Account(__event) => {
                    <AccountEvent as ::recount::Event>::encode(__event)
                }
                Self::Order(__event) => {
                    ::recount::__private::encode_only::<
                        orders::OrderEvent,
                    >(__event, &["Placed", "Paid"])
                }
            }
        }
        #[inline]
        fn decode(
            __type: &::core::primitive::str,
            __version: ::core::primitive::u32,
            __payload: &[::core::primitive::u8],
        ) -> ::core::result::Result<Self, ::recount::DecodeError> {
            if ::recount::__private::reads::<
                AccountEvent,
            >(::core::option::Option::None, __type) {
                let __event = <AccountEvent as ::recount::Event>::decode(
                    __type,
                    __version,
                    __payload,
                )?;
                return ::core::result::Result::Ok(Self::Account(__event));
            }
            if ::recount::__private::reads::<
                orders::OrderEvent,
            >(::core::option::Option::Some(&["Placed", "Paid"]), __type) {
                let __event = <orders::OrderEvent as ::recount::Event>::decode(
                    __type,
                    __version,
                    __payload,
                )?;
                return ::core::result::Result::Ok(Self::Order(__event));
            }
            ::core::result::Result::Err(::recount::DecodeError::unknown_type(__type))
        }
    }
};
