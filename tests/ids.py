"""Generate ids of films for property tests: letters of any kind, blanks and punctuation."""

from hypothesis import strategies as st

from pipeline.tables.film_ids import is_id

SIGNS = " +#().:;=&%@!'~[]{}?*$^`|<>"
IDS = st.text(
    st.characters(categories=("L", "N", "M")) | st.sampled_from(SIGNS + "_-"), min_size=1, max_size=120
).filter(is_id)
