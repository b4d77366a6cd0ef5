//! Published sealed objects.
