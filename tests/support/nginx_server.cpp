#include "support/nginx_server.hpp"

#include <filesystem>
#include <fstream>

namespace weir::test {
namespace {

/// Debian keeps nginx where the PATH of a user may not lead.
std::string executable() { return std::filesystem::exists("/usr/sbin/nginx") ? "/usr/sbin/nginx" : "nginx"; }

std::vector<std::string> arguments(std::string const& dir, std::string const& http) {
    std::ofstream(dir + "/nginx.conf")
        << "daemon off; master_process off; pid " << dir << "/pid; error_log stderr notice;\n"
        << "events { worker_connections 4096; }\nhttp {\n  access_log off; error_log /dev/null crit;\n"
        << "  client_body_temp_path " << dir << "/b; proxy_temp_path " << dir << "/p; fastcgi_temp_path " << dir
        << "/f; uwsgi_temp_path " << dir << "/u; scgi_temp_path " << dir << "/s;\n"
        << http << "}\n";
    return {"-p", dir, "-c", dir + "/nginx.conf"};
}

} // namespace

nginx_server::nginx_server(std::string const& http)
    : running_(executable(), arguments(directory_.path(), http)) {
    running_.wait_for_error_line("event method"); // written when it listens
}

} // namespace weir::test
