#include "support/redis_server.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace weir::test {
namespace {

/// hiredis would end the test by SIGPIPE where the server has ended the connection. The signal is held back, not
/// ignored: the client under test must do without.
class no_broken_pipe {
public:
    no_broken_pipe() {
        ::sigemptyset(&pipe_);
        ::sigaddset(&pipe_, SIGPIPE);
        ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    no_broken_pipe(no_broken_pipe const&) = delete;
    no_broken_pipe& operator=(no_broken_pipe const&) = delete;
    ~no_broken_pipe() {
        timespec const at_once{};
        while (::sigtimedwait(&pipe_, nullptr, &at_once) > 0) {
        }
        ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }

private:
    sigset_t pipe_, before_;
};

std::string text_of(redisReply const& reply) {
    switch (reply.type) {
    case REDIS_REPLY_INTEGER:
        return std::to_string(reply.integer);
    case REDIS_REPLY_NIL:
        return "(nil)";
    case REDIS_REPLY_ARRAY: {
        std::string lines;
        for (std::size_t i = 0; i < reply.elements; ++i)
            lines += text_of(*reply.element[i]) + '\n';
        return lines;
    }
    default:
        return {reply.str, static_cast<std::size_t>(reply.len)};
    }
}

struct argument_vector {
    explicit argument_vector(std::initializer_list<std::string_view> command) {
        for (auto const& each : command) {
            texts.push_back(each.data());
            sizes.push_back(each.size());
        }
    }
    std::vector<char const*> texts;
    std::vector<std::size_t> sizes;
};

} // namespace

temporary_directory::temporary_directory()
    : path_((std::filesystem::temp_directory_path() / "weir-test-XXXXXX").string()) {
    if (!::mkdtemp(path_.data()))
        throw std::system_error(errno, std::system_category(), "mkdtemp " + path_);
}

temporary_directory::~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::uint16_t free_port() {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof name;
    auto const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    auto* const generic = reinterpret_cast<sockaddr*>(&name);
    auto const ok = fd >= 0 && ::bind(fd, generic, size) == 0 && ::getsockname(fd, generic, &size) == 0;
    auto const why = errno;
    if (fd >= 0)
        ::close(fd);
    if (!ok)
        throw std::system_error(why, std::system_category(), "bind to port 0");
    return ntohs(name.sin_port);
}

redis_server::redis_server(options how)
    : options_(std::move(how))
    , socket_path_(directory_.path() + "/redis.sock") {
    // Between the choice of a port and the server's bind another process may take it.
    for (int attempt = 1;; ++attempt) {
        if (options_.tcp)
            port_ = free_port();
        try {
            start();
            break;
        } catch (std::runtime_error const&) {
            if (!options_.tcp || attempt == 5)
                throw;
        }
    }
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

std::shared_ptr<void> redis_server::connect() {
    std::shared_ptr<redisContext> context(::redisConnectUnix(socket_path_.c_str()), &::redisFree);
    if (!context || context->err)
        throw std::runtime_error("connect to " + socket_path_ + ": " + (context ? context->errstr : "out of memory"));
    if (!options_.password.empty())
        ::freeReplyObject(::redisCommand(context.get(), "AUTH %s", options_.password.c_str()));
    return context;
}

std::string redis_server::run(std::initializer_list<std::string_view> command) {
    no_broken_pipe const held_back;
    auto const context = connect();
    argument_vector const arguments(command);
    std::unique_ptr<redisReply, decltype(&::freeReplyObject)> const reply(
        static_cast<redisReply*>(
            ::redisCommandArgv(static_cast<redisContext*>(context.get()), static_cast<int>(arguments.texts.size()),
                               const_cast<char const**>(arguments.texts.data()), arguments.sizes.data())),
        &::freeReplyObject);
    if (!reply)
        throw std::runtime_error(static_cast<redisContext*>(context.get())->errstr);
    return text_of(*reply);
}

std::int64_t redis_server::integer(std::initializer_list<std::string_view> command) { return std::stoll(run(command)); }

std::shared_ptr<void> redis_server::send(std::initializer_list<std::string_view> command) {
    no_broken_pipe const held_back;
    auto context = connect();
    argument_vector const arguments(command);
    auto* const raw = static_cast<redisContext*>(context.get());
    ::redisAppendCommandArgv(raw, static_cast<int>(arguments.texts.size()),
                             const_cast<char const**>(arguments.texts.data()), arguments.sizes.data());
    for (int done = 0; !done;)
        if (::redisBufferWrite(raw, &done) != REDIS_OK)
            throw std::runtime_error(raw->errstr);
    return context;
}

} // namespace weir::test
