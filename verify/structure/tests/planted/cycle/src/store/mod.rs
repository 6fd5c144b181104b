mod rows;

pub use self::rows::Rows;
