#include <weir/error.hpp>
