#pragma once

#include <weir/redis/embedded_server.hpp>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

namespace weir::redis {

WEIR_DECL embedded_server embedded_server::start(options how) {
    embedded_server result;
    auto directory = (std::filesystem::temp_directory_path() / "weir-XXXXXX").string();
    if (!::mkdtemp(directory.data())) // creates it with mode 0700
        throw std::system_error(errno, std::system_category(), "make a directory like " + directory);
    result.directory_ = directory;

    detail::server_process::settings settings;
    settings.executable = std::move(how.executable);
    settings.log_path = directory + "/redis.log";
    settings.endpoint.via = address::transport::unix_socket;
    settings.endpoint.path = directory + "/redis.sock";
    settings.arguments = {"--port",           "0",      "--unixsocket", settings.endpoint.path,
                          "--unixsocketperm", "700",    "--save",       "",
                          "--appendonly",     "no",     "--daemonize",  "no",
                          "--supervised",     "no",     "--dir",        directory,
                          "--loglevel",       "warning"};
    settings.arguments.insert(settings.arguments.end(), how.arguments.begin(), how.arguments.end());
    result.process_ = std::make_unique<detail::server_process>(settings);
    return result;
}

WEIR_DECL embedded_server::embedded_server(embedded_server&& other) noexcept
    : directory_(std::exchange(other.directory_, {}))
    , process_(std::move(other.process_)) {}

WEIR_DECL embedded_server& embedded_server::operator=(embedded_server&& other) noexcept {
    if (this != &other) {
        end();
        directory_ = std::exchange(other.directory_, {});
        process_ = std::move(other.process_);
    }
    return *this;
}

WEIR_DECL embedded_server::~embedded_server() { end(); }

WEIR_DECL void embedded_server::end() noexcept {
    process_.reset();
    std::error_code ignored;
    if (!directory_.empty())
        std::filesystem::remove_all(directory_, ignored);
    directory_.clear();
}

} // namespace weir::redis
