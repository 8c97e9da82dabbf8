#pragma once

#include <functional>
#include <string_view>

namespace weir::proxy {

/// Where the proxy says what happened: called from any thread.
enum class log_level { info, warning, error };
using log_function = std::function<void(log_level, std::string_view)>;

} // namespace weir::proxy
