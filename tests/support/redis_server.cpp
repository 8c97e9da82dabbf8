#include "support/redis_server.hpp"

#include "support/with_free_ports.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <random>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace weir::test {

temporary_directory::temporary_directory()
    : path_((std::filesystem::temp_directory_path() / "weir-test-XXXXXX").string()) {
    if (!::mkdtemp(path_.data()))
        throw std::system_error(errno, std::system_category(), "mkdtemp " + path_);
}

temporary_directory::~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

namespace {

/// A socket bound to the port, or with 0 to one that the system chooses; port 0 where that cannot be had.
class bound_socket {
public:
    explicit bound_socket(std::uint16_t port)
        : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_port = htons(port);
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof name;
        auto* const generic = reinterpret_cast<sockaddr*>(&name);
        if (fd_ >= 0 && ::bind(fd_, generic, size) == 0 && ::getsockname(fd_, generic, &size) == 0)
            port_ = ntohs(name.sin_port);
    }
    bound_socket(bound_socket const&) = delete;
    bound_socket& operator=(bound_socket const&) = delete;
    ~bound_socket() {
        if (fd_ >= 0)
            ::close(fd_);
    }
    std::uint16_t port() const noexcept { return port_; }

private:
    int fd_;
    std::uint16_t port_ = 0;
};

/// The first of those that the system gives to whoever connects or binds to no port in particular.
int first_port_of_the_system() {
    int first = 0;
    std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first;
    return first;
}

} // namespace

// Not one of the system's own choice: that may be given to any outgoing connection before the server listens.
std::uint16_t free_port() {
    constexpr int lowest = 10'000;
    thread_local std::mt19937 random{std::random_device{}()};
    auto const end = first_port_of_the_system();
    for (int attempt = 0; attempt < 100; ++attempt) {
        auto const wish = end > lowest ? std::uniform_int_distribution<int>{lowest, end - 1}(random) : 0;
        if (auto const port = bound_socket(static_cast<std::uint16_t>(wish)).port())
            return port;
    }
    throw std::runtime_error("no port of 127.0.0.1 is free");
}

std::uint16_t dead_port() {
    static bound_socket const held(0); // and never listened on
    return held.port();
}

redis_server::redis_server(options how)
    : options_(std::move(how))
    , socket_path_(directory_.path() + "/redis.sock") {
    if (!options_.tcp) {
        start();
        return;
    }
    with_free_ports([this] {
        port_ = free_port();
        start();
    });
}

// It has nothing to save, and may be stopped.
redis_server::~redis_server() { kill(); }

void redis_server::start() {
    redis::detail::server_process::settings settings;
    settings.log_path = directory_.path() + "/redis.log";
    settings.endpoint.via = redis::address::transport::unix_socket;
    settings.endpoint.path = socket_path_;
    settings.arguments = {
        "--port", std::to_string(port_), "--bind", "127.0.0.1",   "--unixsocket", socket_path_, "--save",
        "",       "--appendonly",        "no",     "--daemonize", "no",           "--dir",      directory_.path()};
    if (!options_.password.empty())
        settings.arguments.insert(settings.arguments.end(), {"--requirepass", options_.password});
    settings.arguments.insert(settings.arguments.end(), options_.arguments.begin(), options_.arguments.end());
    process_ = std::make_unique<redis::detail::server_process>(settings);
}

std::string redis_server::url() const { return "unix://" + socket_path_; }

std::string redis_server::tcp_url() const {
    if (!options_.tcp)
        throw std::logic_error("this redis_server was started without a TCP port");
    return "redis://127.0.0.1:" + std::to_string(port_);
}

void redis_server::stop() { process_->stop(); }

void redis_server::kill() { process_->kill(); }

void redis_server::pause() {
    ::kill(pid(), SIGSTOP);
    // The signal is delivered before it is stopped: wait for the stop itself.
    int status = 0;
    while (::waitpid(pid(), &status, WUNTRACED) == pid() && !WIFSTOPPED(status)) {
    }
}

void redis_server::resume() { ::kill(pid(), SIGCONT); }

void redis_server::restart() {
    process_->kill();
    start();
}

raw_redis redis_server::connect() {
    raw_redis made(socket_path_);
    if (!options_.password.empty())
        made.command(std::array<std::string_view, 2>{"AUTH", options_.password});
    return made;
}

std::string redis_server::run(std::initializer_list<std::string_view> command) {
    return connect().command({command.begin(), command.size()});
}

std::int64_t redis_server::integer(std::initializer_list<std::string_view> command) { return std::stoll(run(command)); }

std::int64_t redis_server::calls(std::string_view command) {
    auto const stats = run({"INFO", "commandstats"});
    auto const line = "cmdstat_" + std::string(command) + ":calls=";
    auto const at = stats.find(line);
    return at == std::string::npos ? 0 : std::stoll(stats.substr(at + line.size()));
}

std::shared_ptr<void> redis_server::send(std::initializer_list<std::string_view> command) {
    auto const made = std::make_shared<raw_redis>(connect());
    made->append({command.begin(), command.size()});
    made->flush();
    return made;
}

} // namespace weir::test
