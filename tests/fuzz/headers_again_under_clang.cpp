// The second translation unit of one program: header-only functions must not be defined twice.
#include <weir/weir.hpp>

std::string_view word_of(weir::errc code);

std::string_view word_of(weir::errc code) { return weir::to_string(code); }
