#include "support/relay.hpp"

#include "support/redis_server.hpp"

#include <boost/asio.hpp>

#include <array>
#include <atomic>
#include <filesystem>
#include <future>
#include <list>
#include <optional>
#include <thread>

namespace weir::test {
namespace {

namespace asio = boost::asio;
using asio::generic::stream_protocol;
using boost::system::error_code;
using local = asio::local::stream_protocol;
using asio::ip::tcp;

struct faults {
    std::size_t split = 0;
    std::chrono::milliseconds delay{0};
    bool swallow = false;
    bool stall = false;
    std::optional<std::size_t> cut_after;
};

// One client and its connection to the server. All on the relay's thread.
class link : public std::enable_shared_from_this<link> {
public:
    link(stream_protocol::socket client, faults const& shared)
        : faults_(shared)
        , client_(std::move(client))
        , server_(client_.get_executor())
        , wake_(client_.get_executor())
        , delayed_(client_.get_executor()) {
        wake_.expires_at(std::chrono::steady_clock::time_point::max());
    }

    void start(stream_protocol::endpoint const& server) {
        error_code ec;
        server_.connect(server, ec);
        if (ec)
            return cut();
        spawn(to_server());
        spawn(to_client());
    }

    void cut() {
        error_code ignored;
        client_.set_option(asio::socket_base::linger(true, 0), ignored); // a reset instead of an orderly end
        client_.close(ignored);
        server_.close(ignored);
        wake_.cancel();
        delayed_.cancel();
    }

    void half_close() {
        error_code ignored;
        client_.shutdown(asio::socket_base::shutdown_send, ignored);
    }

    void faults_changed() { wake_.cancel(); }

private:
    void spawn(asio::awaitable<void> direction) {
        asio::co_spawn(client_.get_executor(), std::move(direction), [self = shared_from_this()](std::exception_ptr) {
            self->cut(); // one side has ended, or was cut
        });
    }

    asio::awaitable<void> while_stalled() {
        while (faults_.stall && client_.is_open()) {
            error_code woken;
            co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        }
    }

    asio::awaitable<void> to_server() {
        std::array<char, 16384> buffer;
        for (;;) {
            co_await while_stalled();
            auto const n = co_await client_.async_read_some(asio::buffer(buffer), asio::use_awaitable);
            co_await while_stalled();
            co_await asio::async_write(server_, asio::buffer(buffer, n), asio::use_awaitable);
        }
    }

    asio::awaitable<void> to_client() {
        std::array<char, 16384> buffer;
        std::size_t said = 0;
        for (;;) {
            co_await while_stalled();
            auto const n = co_await server_.async_read_some(asio::buffer(buffer), asio::use_awaitable);
            co_await while_stalled();
            if (faults_.delay.count() > 0) {
                delayed_.expires_after(faults_.delay);
                co_await delayed_.async_wait(asio::use_awaitable);
            }
            if (faults_.swallow)
                continue;
            said += n;
            auto passed = n;
            if (faults_.cut_after && said >= *faults_.cut_after)
                passed = n - std::min(n, said - *faults_.cut_after + 1);
            for (std::size_t at = 0; at < passed;) {
                auto const piece = faults_.split ? std::min(faults_.split, passed - at) : passed - at;
                co_await asio::async_write(client_, asio::buffer(buffer.data() + at, piece), asio::use_awaitable);
                at += piece;
            }
            if (passed < n)
                co_return;
        }
    }

    faults const& faults_;
    stream_protocol::socket client_;
    stream_protocol::socket server_;
    asio::steady_timer wake_, delayed_;
};

} // namespace

class relay::engine {
public:
    explicit engine(stream_protocol::endpoint server)
        : server_at_(std::move(server))
        , unix_path_(directory_.path() + "/relay.sock")
        , tcp_(io_, tcp::endpoint(asio::ip::address_v4::loopback(), 0))
        , unix_(io_, local::endpoint(unix_path_))
        , port_(tcp_.local_endpoint().port()) {
        accept(tcp_);
        accept(unix_);
        thread_ = std::thread([this] { io_.run(); });
    }

    ~engine() {
        do_now([this] {
            cut();
            error_code ignored;
            tcp_.close(ignored);
            unix_.close(ignored);
            work_.reset();
        });
        thread_.join();
    }

    void do_now(std::function<void()> const& what) {
        std::promise<void> done;
        asio::post(io_, [&] {
            what();
            for (auto const& each : links_)
                if (auto const alive = each.lock())
                    alive->faults_changed();
            done.set_value();
        });
        done.get_future().get();
    }

    void for_each_link(void (link::*what)()) {
        for (auto const& each : links_)
            if (auto const alive = each.lock())
                ((*alive).*what)();
    }

    void cut() {
        for_each_link(&link::cut);
        links_.clear();
    }

    void refuse(bool on) {
        if (on) {
            error_code ignored;
            tcp_.close(ignored);
            unix_.close(ignored);
            std::filesystem::remove(unix_path_);
            return;
        }
        tcp_ = tcp::acceptor(io_, tcp::endpoint(asio::ip::address_v4::loopback(), port_));
        unix_ = local::acceptor(io_, local::endpoint(unix_path_));
        accept(tcp_);
        accept(unix_);
    }

    faults faults_;
    std::atomic<std::size_t> accepted_{0};
    temporary_directory directory_;
    stream_protocol::endpoint server_at_;
    std::string unix_path_;

private:
    template <class Acceptor>
    void accept(Acceptor& from) {
        from.async_accept([this, &from](error_code ec, auto socket) {
            if (ec)
                return;
            if constexpr (std::is_same_v<Acceptor, tcp::acceptor>)
                socket.set_option(tcp::no_delay(true));
            ++accepted_;
            auto const made = std::make_shared<link>(stream_protocol::socket(std::move(socket)), faults_);
            links_.push_back(made);
            made->start(server_at_);
            accept(from);
        });
    }

    std::list<std::weak_ptr<link>> links_;
    asio::io_context io_;
    // It goes on while it refuses, and has nothing to do.
    asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
    tcp::acceptor tcp_;
    local::acceptor unix_;

public:
    std::uint16_t const port_;

private:
    std::thread thread_;
};

relay::relay(std::string const& server_socket_path)
    : engine_(std::make_unique<engine>(local::endpoint(server_socket_path))) {}

relay::relay(std::uint16_t server_port)
    : engine_(std::make_unique<engine>(tcp::endpoint(asio::ip::address_v4::loopback(), server_port))) {}

relay::~relay() = default;

std::uint16_t relay::port() const { return engine_->port_; }

std::string relay::tcp_url() const { return "redis://127.0.0.1:" + std::to_string(engine_->port_); }

std::string relay::unix_url() const { return "unix://" + engine_->unix_path_; }

void relay::split_replies(std::size_t size) {
    engine_->do_now([&] { engine_->faults_.split = size; });
}

void relay::delay_replies(std::chrono::milliseconds by) {
    engine_->do_now([&] { engine_->faults_.delay = by; });
}

void relay::swallow_replies(bool on) {
    engine_->do_now([&] { engine_->faults_.swallow = on; });
}

void relay::stall(bool on) {
    engine_->do_now([&] { engine_->faults_.stall = on; });
}

void relay::cut_after_reply_bytes(std::size_t bytes) {
    engine_->do_now([&] { engine_->faults_.cut_after = bytes; });
}

void relay::cut() {
    engine_->do_now([&] { engine_->cut(); });
}

void relay::half_close() {
    engine_->do_now([&] { engine_->for_each_link(&link::half_close); });
}

void relay::refuse(bool on) {
    engine_->do_now([&] { engine_->refuse(on); });
}

std::size_t relay::accepted() const { return engine_->accepted_; }

} // namespace weir::test
