#pragma once

#include "admin/api.hpp"
#include "proxy/server.hpp"

namespace weir::admin {

/// What the workers remember: `top`, the hottest keys, and `explain`, why requests were refused lately. The server must
/// outlive the resources.
std::vector<api_resource> inspection(proxy::server const& of);

} // namespace weir::admin
