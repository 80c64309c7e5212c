//! Each permission as a type, for a handler to say which one it takes: `Auth<may::Schedule>`.

use super::Permission;

/// A permission as a type.
pub trait Policy: Send + Sync {
    /// Which one.
    const PERMISSION: Permission;
}

/// Makes the type of each permission.
macro_rules! policies {
    ($($name:ident)+) => {
        $(
            #[doc = concat!("Takes [`Permission::", stringify!($name), "`].")]
            #[derive(Debug)]
            pub struct $name;

            impl Policy for $name {
                const PERMISSION: Permission = Permission::$name;
            }
        )+

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Self] = &[$(<$name as Policy>::PERMISSION),+];
        }
    };
}

policies! {
    Calculate
    Read
    ReadBooks
    ReadAudit
    Schedule
    Reverse
    PublishModel
    RegisterRecipient
    PayCarried
    Operate
    Resolve
    Approve
    SetPolicy
    Simulate
}
