//! aerie
