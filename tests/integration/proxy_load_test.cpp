#include "support/http_client.hpp"
#include "support/paths.hpp"
#include "support/program.hpp"
#include "support/redis_server.hpp"
#include "support/running_proxy.hpp"
#include "support/upstream.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <future>
#include <thread>

// Many clients at once, slow ones, more than there are descriptors for, and bodies larger than any buffer: against the
// real program, whose limits and memory are its own.

namespace weir::test {
namespace {

using testing::HasSubstr;

/// As many descriptors as this process may have.
rlim_t raise_open_files() {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    return files.rlim_cur;
}

/// The real program in front of one upstream.
class served {
public:
    /// `files`: how many descriptors it may have; 0: as many as this process.
    explicit served(std::uint16_t upstream, std::string const& http = "{}", unsigned files = 0, unsigned workers = 2)
        : file_(directory_.path() + "/weir.json")
        , running_("/usr/bin/env", command(upstream, http, files, workers)) {
        at_ = endpoint_in(running_.wait_for_error_line("listening on "));
        running_.wait_for_error_line("metrics and health at ");
    }

    boost::asio::ip::tcp::endpoint const& endpoint() const { return at_; }
    http_client connect() const { return http_client(at_); }

    /// The most memory that it ever had in use, in KiB.
    std::size_t peak_memory() const { return status("VmHWM:"); }
    std::size_t memory() const { return status("VmRSS:"); }
    /// Seconds of processor time so far.
    double busy() const {
        std::ifstream file("/proc/" + std::to_string(running_.pid()) + "/stat");
        std::string word;
        double ticks = 0;
        for (int i = 1; i <= 15 && file >> word; ++i)
            ticks += i >= 14 ? std::stod(word) : 0;
        return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
    }
    program& process() { return running_; }

private:
    std::vector<std::string> command(std::uint16_t upstream, std::string const& http, unsigned files,
                                     unsigned workers) const {
        std::ofstream(file_) << R"({"listen":[{"address":"127.0.0.1:0"}],"admin":{"address":"127.0.0.1:0"},"workers":)"
                             << workers << R"(,"access_log":"off","http":)" << http
                             << R"(,"upstreams":{"api":{"targets":["http://127.0.0.1:)" << upstream
                             << R"("]}},"routes":[{"name":"all","path":"/*","upstream":"api"}]})";
        std::vector<std::string> words{program_path(), "serve", "--config", file_};
        if (files != 0)
            words.insert(words.begin(), {"prlimit", "--nofile=" + std::to_string(files)});
        // The address sanitizer keeps what was freed, up to 256 MiB of it, which would count as memory in use.
        auto const* const options = std::getenv("ASAN_OPTIONS");
        words.insert(words.begin(),
                     "ASAN_OPTIONS=" + (options ? std::string(options) + ':' : "") + "quarantine_size_mb=1");
        return words;
    }

    std::size_t status(std::string const& name) const {
        std::ifstream file("/proc/" + std::to_string(running_.pid()) + "/status");
        std::string word;
        std::size_t value = 0;
        while (file >> word)
            if (word == name)
                file >> value;
        return value;
    }

    temporary_directory directory_;
    std::string file_;
    program running_;
    boost::asio::ip::tcp::endpoint at_;
};

/// Sockets that are closed by a reset, which leaves no trace of them in the kernel.
class crowd {
public:
    crowd() = default;
    crowd(crowd const&) = delete;
    crowd& operator=(crowd const&) = delete;
    ~crowd() {
        for (auto& each : sockets_) {
            boost::system::error_code ignored;
            each.set_option(boost::asio::socket_base::linger(true, 0), ignored);
            each.close(ignored);
        }
    }

    void join(boost::asio::ip::tcp::endpoint const& at, std::string_view saying = {}) {
        auto& socket = sockets_.emplace_back(io_);
        socket.connect(at);
        boost::system::error_code ignored; // who is refused may be gone already
        boost::asio::write(socket, boost::asio::buffer(saying), ignored);
    }

    boost::asio::ip::tcp::socket& operator[](std::size_t i) { return sockets_[i]; }
    std::size_t size() const { return sockets_.size(); }

    /// What comes until the server closes, of one after the other.
    std::string read_to_end(std::size_t i) {
        std::string all(65536, '\0');
        boost::system::error_code ec;
        auto const n = boost::asio::read(sockets_[i], boost::asio::buffer(all), ec);
        all.resize(n);
        return all;
    }

private:
    boost::asio::io_context io_;
    std::deque<boost::asio::ip::tcp::socket> sockets_;
};

constexpr std::string_view get = "GET / HTTP/1.1\r\nHost: weir.test\r\n\r\n";

TEST(proxy_load, ten_thousand_idle_connections_are_held_and_each_is_served_when_it_speaks) {
    auto const most = raise_open_files();
    auto const count = static_cast<std::size_t>(std::min<rlim_t>(10'000, most / 8 * 5 - 200));
    if (count < 10'000)
        std::cout << "no more than " << most << " descriptors may be open here: " << count << " connections\n";
    upstream up(upstream::always("served"));
    served const weir(up.port(), R"({"head_timeout":"5m","keep_alive":"5m"})");
    auto const before = weir.memory();
    crowd clients;
    for (std::size_t i = 0; i < count; ++i)
        clients.join(weir.endpoint(), get);
    std::string answer(65536, '\0');
    auto const read_answer = [&](std::size_t i) {
        std::size_t n = 0;
        while (n < 6 || answer.compare(n - 6, 6, "served") != 0)
            if (n += clients[i].read_some(boost::asio::buffer(answer.data() + n, answer.size() - n));
                n > 12 && !answer.starts_with("HTTP/1.1 200 "))
                return testing::AssertionFailure() << answer.substr(0, n);
        return testing::AssertionSuccess();
    };
    for (std::size_t i = 0; i < count; ++i)
        ASSERT_TRUE(read_answer(i)) << i;
    std::cout << (weir.memory() - before) * 1024 / count << " bytes of memory for each idle connection\n";
    EXPECT_EQ(weir.connect().get("/").body, "served") << "one more";
    for (std::size_t i = 0; i < count; i += 7) {
        boost::asio::write(clients[i], boost::asio::buffer(get));
        ASSERT_TRUE(read_answer(i)) << i;
    }
}

TEST(proxy_load, a_thousand_new_connections_a_second_are_all_served) {
    constexpr int rate = 1000, total = 3000, clients = 8;
    upstream up(upstream::always("served"));
    served const weir(up.port());
    auto const start = std::chrono::steady_clock::now();
    std::atomic<int> next{0}, good{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < clients; ++t)
        threads.emplace_back([&] {
            for (int i = next++; i < total; i = next++) {
                // The pace is the load, not a wait for something.
                std::this_thread::sleep_until(start + std::chrono::microseconds{1'000'000 / rate * i});
                auto client = weir.connect();
                good += client.get("/").body == "served" ? 1 : 0;
                client.reset();
            }
        });
    for (auto& each : threads)
        each.join();
    EXPECT_EQ(good, total);
}

TEST(proxy_load, hundreds_of_slow_clients_are_ended_each_in_its_way_and_disturb_nobody) {
    raise_open_files();
    std::string const large(20'000'000, 'x');
    upstream up([&](upstream::connection& c) {
        for (;;) {
            auto const request = c.read();
            c.respond(request.target() == "/large" ? large : "served");
        }
    });
    served const weir(up.port(),
                      R"({"head_timeout":"500ms","body_timeout":"500ms","write_timeout":"500ms","keep_alive":"5m"})");
    std::atomic<bool> ending{false};
    std::atomic<int> good{0}, bad{0};
    std::thread normal([&] {
        auto client = weir.connect();
        while (!ending)
            ++(client.get("/").body == "served" ? good : bad);
    });
    constexpr std::size_t each = 150;
    crowd heads, bodies, streams, readers;
    for (std::size_t i = 0; i < each; ++i) {
        heads.join(weir.endpoint(), "GET / HTTP/1.1\r\nHost: weir.te");
        bodies.join(weir.endpoint(), "POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 10\r\n\r\nabc");
        streams.join(weir.endpoint(), "POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 1000000\r\n\r\nabc");
    }
    for (std::size_t i = 0; i < each / 10; ++i)
        readers.join(weir.endpoint(), "GET /large HTTP/1.1\r\nHost: w\r\n\r\n");
    for (auto* slow : {&heads, &bodies, &streams})
        for (std::size_t i = 0; i < each; ++i)
            ASSERT_THAT(slow->read_to_end(i), testing::StartsWith("HTTP/1.1 408 ")) << i;
    // The upstream is left once a client has not read for too long: then its connections are all back or gone.
    ending = true;
    normal.join();
    EXPECT_TRUE(up.wait_until_open(0) || up.open() <= 3) << up.open();
    EXPECT_EQ(bad, 0);
    EXPECT_GT(good, 10);
}

TEST(proxy_load, out_of_descriptors_it_refuses_loses_nothing_under_way_does_not_spin_and_recovers) {
    raise_open_files();
    std::promise<void> go;
    auto const gone = go.get_future().share();
    upstream up([&](upstream::connection& c) {
        for (;;) {
            if (c.read().target() != "/stream") {
                c.respond("served");
                continue;
            }
            c.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "6\r\nbegin\n\r\n");
            gone.wait();
            c.write("4\r\nend\n\r\n0\r\n\r\n");
        }
    });
    constexpr unsigned files = 200;
    served weir(up.port(), R"({"head_timeout":"5m","keep_alive":"5m"})", files);
    auto stream = weir.connect();
    stream.send("GET /stream HTTP/1.1\r\nHost: w\r\n\r\n");
    stream.read_until("begin\n");

    crowd many;
    for (unsigned i = 0; i < 2 * files; ++i)
        many.join(weir.endpoint(), get);
    std::size_t served_well = 0, refused = 0;
    std::string answer(4096, '\0');
    for (std::size_t i = 0; i < many.size(); ++i) {
        boost::system::error_code ec;
        auto const n = many[i].read_some(boost::asio::buffer(answer), ec);
        if (ec)
            ++refused;
        else
            served_well += answer.substr(0, n).starts_with("HTTP/1.1 200 ") ? 1 : 0;
    }
    EXPECT_EQ(served_well + refused, many.size()) << "served, or refused at once: nothing in between";
    EXPECT_GT(served_well, files / 4);
    EXPECT_GT(refused, files / 2);
    weir.process().wait_for_error_line("raise the limit of open files");

    auto const busy = weir.busy();
    auto const since = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < many.size(); ++i) { // those that were let in go on
        boost::system::error_code ec;
        boost::asio::write(many[i], boost::asio::buffer(get), ec);
        if (!ec)
            many[i].read_some(boost::asio::buffer(answer), ec);
        served_well -= !ec && answer.starts_with("HTTP/1.1 200 ") ? 1 : 0;
    }
    EXPECT_EQ(served_well, 0u);
    while (std::chrono::steady_clock::now() - since < std::chrono::seconds{1})
        std::this_thread::yield();
    EXPECT_LT(weir.busy() - busy, 0.5) << "a loop that spins takes all there is";

    for (std::size_t i = 0; i < many.size(); ++i) {
        boost::system::error_code ignored;
        many[i].shutdown(boost::asio::ip::tcp::socket::shutdown_both, ignored);
    }
    auto served_again = [&] {
        try {
            return weir.connect().get("/").body == "served";
        } catch (boost::system::system_error const&) {
            return false; // refused still
        }
    };
    auto const until = std::chrono::steady_clock::now() + http_client::patience;
    while (!served_again() && std::chrono::steady_clock::now() < until)
        std::this_thread::yield();
    EXPECT_TRUE(served_again());
    go.set_value();
    EXPECT_THAT(stream.read_until("0\r\n\r\n"), HasSubstr("end\n"));
}

/// WEIR_TEST_BODY_GIB, or 1.
std::uint64_t body_size() {
    auto const* text = std::getenv("WEIR_TEST_BODY_GIB");
    return (text ? std::strtoull(text, nullptr, 10) : 1) << 30;
}

std::string const& pattern() {
    static std::string const made = [] {
        std::string out(std::size_t{1} << 20, '\0');
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i] = static_cast<char>((i * 31) ^ (i >> 8));
        return out;
    }();
    return made;
}

void send_pattern(boost::asio::ip::tcp::socket& to, std::uint64_t size) {
    for (std::uint64_t sent = 0; sent < size; sent += pattern().size())
        boost::asio::write(to, boost::asio::buffer(pattern()));
}

/// Whether exactly that comes, of which `begin` has come already.
bool read_pattern(boost::asio::ip::tcp::socket& from, std::uint64_t size, std::string_view begin) {
    std::uint64_t got = 0;
    auto const matches = [&](std::string_view bytes) {
        while (!bytes.empty()) {
            auto const at = static_cast<std::size_t>(got % pattern().size());
            auto const n = std::min(bytes.size(), pattern().size() - at);
            if (pattern().compare(at, n, bytes.substr(0, n)) != 0)
                return false;
            bytes.remove_prefix(n);
            got += n;
        }
        return true;
    };
    std::string buffer(pattern().size(), '\0');
    bool good = matches(begin);
    while (good && got < size)
        good = matches({buffer.data(), from.read_some(boost::asio::buffer(buffer))});
    return good && got == size;
}

TEST(proxy_load, bodies_larger_than_any_buffer_pass_both_ways_unchanged_at_constant_memory) {
    auto const size = body_size();
    std::promise<bool> arrived;
    upstream up([&](upstream::connection& c) {
        if (c.read_head().method() == "POST") {
            arrived.set_value(read_pattern(c.socket(), size, c.read_some()));
            c.respond("done");
        } else {
            c.write("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
            send_pattern(c.socket(), size);
        }
        c.wait_for_close();
    });
    served const weir(up.port(), R"({"max_body":"1048576GiB"})", 0, 1);
    EXPECT_EQ(weir.connect().exchange("OPTIONS * HTTP/1.1\r\nHost: w\r\n\r\n").status, 404u); // all is loaded
    auto const before = weir.peak_memory();

    boost::asio::io_context io;
    boost::asio::ip::tcp::socket down(io), sending(io);
    down.connect(weir.endpoint());
    boost::asio::write(down, boost::asio::buffer(get));
    std::string head;
    auto const end = boost::asio::read_until(down, boost::asio::dynamic_buffer(head), "\r\n\r\n");
    EXPECT_TRUE(read_pattern(down, size, std::string_view(head).substr(end)));

    sending.connect(weir.endpoint());
    boost::asio::write(sending, boost::asio::buffer("POST / HTTP/1.1\r\nHost: w\r\nContent-Length: " +
                                                    std::to_string(size) + "\r\n\r\n"));
    send_pattern(sending, size);
    EXPECT_TRUE(arrived.get_future().get());
    head.clear();
    boost::asio::read_until(sending, boost::asio::dynamic_buffer(head), "done");

    auto const grown = weir.peak_memory() - before;
    std::cout << (size >> 20) << " MiB each way; memory grew by " << grown << " KiB\n";
    EXPECT_LT(grown, 16u * 1024) << "some of the bodies was kept";
}

/// KiB that each of so many connections adds to the proxy's memory, once `open` has opened it.
template <class Open>
double memory_of_each(served const& weir, std::size_t count, Open&& open) {
    for (std::size_t i = 0; i < 8; ++i)
        open(); // what the first of them brings is not theirs alone
    auto const before = weir.memory();
    for (std::size_t i = 0; i < count; ++i)
        open();
    auto const grown = static_cast<double>(weir.memory()) - static_cast<double>(before);
    std::cout << grown / static_cast<double>(count) << " KiB of memory for each of " << count << '\n';
    return grown / static_cast<double>(count);
}

TEST(proxy_load, who_waits_for_a_silent_upstream_or_a_silent_client_holds_no_buffer) {
#if defined(__SANITIZE_THREAD__) // which keeps four bytes for each that was ever in use
    constexpr double most = 5 * 40;
#else
    constexpr double most = 40; // a buffer has 64
#endif
    constexpr std::size_t count = 300, burst = 60'000;
    std::string const piece(burst, 'x');
    upstream up([&](upstream::connection& c) {
        auto const head = c.read_head();
        if (head.method() == "POST") {
            for (std::size_t got = 0; got < burst;)
                got += c.read_some().size();
            c.write("HTTP/1.1 103 Early Hints\r\n\r\n"); // all of it has come this far
        } else {
            c.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + piece);
        }
        c.wait_for_close();
    });
    served const weir(up.port(), "{}", 0, 1);
    crowd streams, uploads;
    std::string answer(burst + 1000, '\0');
    auto const read_from = [&](boost::asio::ip::tcp::socket& from, std::size_t least) {
        return boost::asio::read(from, boost::asio::buffer(answer), boost::asio::transfer_at_least(least));
    };
    EXPECT_LT(memory_of_each(weir, count,
                             [&] {
                                 streams.join(weir.endpoint(), get);
                                 read_from(streams[streams.size() - 1], burst + 100);
                             }),
              most);
    EXPECT_LT(memory_of_each(weir, count,
                             [&] {
                                 uploads.join(weir.endpoint(),
                                              "POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 1000000\r\n\r\n" + piece);
                                 read_from(uploads[uploads.size() - 1], 10);
                             }),
              most);
}

} // namespace
} // namespace weir::test
